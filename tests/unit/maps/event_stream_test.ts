import { assertEquals, assertRejects } from "@std/assert";
import { type EventSource, EventStream, NOTHING } from "../../../mod.ts";
import { FakeKernel } from "../_fake_kernel.ts";

/** A source that gives what it is told to, one answer a call. */
class Scripted implements EventSource<number> {
  readonly descriptors: readonly number[];
  closed = false;
  settled = 0;
  readonly #answers: (number | typeof NOTHING | Error)[];

  constructor(fake: FakeKernel, answers: readonly (number | typeof NOTHING | Error)[]) {
    this.descriptors = [fake.newFd()];
    this.#answers = [...answers];
  }

  take(): number | typeof NOTHING {
    const answer = this.#answers.shift() ?? NOTHING;
    if (answer instanceof Error) throw answer;
    return answer;
  }

  settle(): void {
    this.settled++;
  }

  enterWait(): () => void {
    return () => {};
  }

  onClose(): () => void {
    return () => {};
  }
}

/** What a promise gives, or that it does not within some turns of the microtask queue. */
async function soon<T>(promise: Promise<T>): Promise<T | "never"> {
  const turns = (async () => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    return "never" as const;
  })();
  return await Promise.race([promise, turns]);
}

Deno.test("EventStream.next() goes on after an event that came just before it would have waited", async () => {
  using fake = new FakeKernel();
  // The first answer is that of next(), the second comes when the wait looks once more.
  const stream = new EventStream([new Scripted(fake, [NOTHING, 1, 2, NOTHING, 3])]);
  for (const expected of [1, 2, 3]) assertEquals(await soon(stream.next()), { done: false, value: expected });
  await stream.return();
});

Deno.test("EventStream.next() answers calls in their order, and goes on after each of them", async () => {
  using fake = new FakeKernel();
  const stream = new EventStream([new Scripted(fake, [NOTHING, NOTHING, 1, 2, NOTHING, NOTHING, 3, 4])]);
  const asked = [stream.next(), stream.next()];
  assertEquals(await soon(asked[0]), "never");
  fake.endWait!(1);
  assertEquals((await soon(Promise.all(asked)) as { value: number }[]).map(({ value }) => value), [1, 2]);
  const later = stream.next();
  assertEquals(await soon(later), "never");
  fake.endWait!(1);
  assertEquals([await soon(later), await soon(stream.next())], [{ done: false, value: 3 }, { done: false, value: 4 }]);
  await stream.return();
});

Deno.test("EventStream.next() passes errors on, whenever they come, and goes on behind them", async () => {
  using fake = new FakeKernel();
  const stream = new EventStream([new Scripted(fake, [new Error("one"), NOTHING, new Error("two"), 1])]);
  await assertRejects(() => stream.next(), Error, "one");
  await assertRejects(() => stream.next(), Error, "two");
  assertEquals(await soon(stream.next()), { done: false, value: 1 });
  await stream.return();
});

Deno.test("EventStream ends at once where it is aborted while it waits, between events and before", async () => {
  using fake = new FakeKernel();
  const before = new EventStream([new Scripted(fake, [1])], { signal: AbortSignal.abort() });
  assertEquals(await soon(before.next()), { done: true, value: undefined });
  const abort = new AbortController();
  const between = new EventStream([new Scripted(fake, [1, 2])], { signal: abort.signal });
  assertEquals(await soon(between.next()), { done: false, value: 1 });
  abort.abort();
  assertEquals(await soon(between.next()), { done: true, value: undefined });
  const other = new AbortController();
  const waiting = new EventStream([new Scripted(fake, [])], { signal: other.signal });
  const last = waiting.next();
  await Promise.resolve();
  other.abort();
  fake.endWait!(1);
  assertEquals(await soon(last), { done: true, value: undefined });
  assertEquals(await soon(waiting.next()), { done: true, value: undefined });
});

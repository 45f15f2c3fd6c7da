import { describe, expect, it } from 'vitest';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { WarmUp } from './warm-up.ts';

function setUp(sessions: number) {
  const clock = new FakeClock();
  const said: string[] = [];
  const warmUp = new WarmUp({ sessions, forMs: 500, statementMs: 1000, clock });
  const pass = (name: string, failsAt?: string) =>
    warmUp.pass({
      query: ({ text }) => {
        said.push(`${name} ${text}`);
        return text === failsAt ? Promise.reject(new Error(`${text} failed`)) : Promise.resolve();
      },
    });
  return { clock, said, warmUp, pass };
}

/** Lets everything run that needs no time. */
const settled = () => new Promise(resolve => setImmediate(resolve));

describe('a warm-up', () => {
  it('ends no transaction before all have begun', async () => {
    const { said, pass } = setUp(2);
    const first = pass('a');
    await settled();
    expect(said).toEqual(['a BEGIN']);
    await Promise.all([first, pass('b')]);
    expect(said).toEqual(['a BEGIN', 'b BEGIN', 'a ROLLBACK', 'b ROLLBACK']);
  });

  it('waits no longer than it may for one that does not come', async () => {
    const { clock, said, pass } = setUp(2);
    const alone = pass('a');
    await settled();
    await clock.advance(499);
    expect(said).toEqual(['a BEGIN']);
    await clock.advance(1);
    await alone;
    expect(said).toEqual(['a BEGIN', 'a ROLLBACK']);
  });

  it('asks nothing of a session that comes when it is over', async () => {
    const { said, warmUp, pass } = setUp(2);
    warmUp.end();
    await pass('a');
    expect(said).toEqual([]);
  });

  it('is over for all when it is ended early', async () => {
    const { said, warmUp, pass } = setUp(3);
    const both = Promise.all([pass('a'), pass('b')]);
    await settled();
    warmUp.end();
    await both;
    expect(said.slice(2)).toEqual(['a ROLLBACK', 'b ROLLBACK']);
  });

  it.each(['BEGIN', 'ROLLBACK'])('says that a session is of no use whose %s fails', async text => {
    const { warmUp, pass } = setUp(1);
    const failed = pass('a', text);
    warmUp.end();
    await expect(failed).rejects.toThrow(`${text} failed`);
  });
});

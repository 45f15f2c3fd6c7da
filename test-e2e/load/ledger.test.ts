import { describe, expect, it } from 'vitest';
import { type Contents, Ledger } from './ledger.ts';

const clean = { lost: [], doubled: [], torn: [] };

function ledger(): Ledger {
  const made = new Ledger(['a', 'b'], 10);
  made.bumped('a', 'acknowledged');
  made.entered('a', '1', 1, 'acknowledged');
  made.entered('a', '2', 2, 'acknowledged');
  made.entered('a', '3', 1, 'unknown');
  made.entered('b', '4', 1, 'acknowledged');
  made.removed('b', '4', 'acknowledged');
  return made;
}

const contents: Contents = {
  accounts: [
    { owner: 'a', version: '1', rows: 1 },
    { owner: 'b', version: '0', rows: 1 },
  ],
  money: [
    { owner: 'a', money: 10, rows: 2 },
    { owner: 'b', money: 10, rows: 2 },
  ],
  entries: [
    { owner: 'a', op: '1', rows: 1 },
    { owner: 'a', op: '2', rows: 2 },
  ],
};

function withEntries(...entries: Contents['entries'][number][]): Contents {
  return { ...contents, entries };
}

const [one, two] = contents.entries;
if (!one || !two) throw new Error('the contents above have two writes');

describe('a ledger', () => {
  it('finds nothing wrong with what it expects, whichever way an unknown outcome went', () => {
    expect(ledger().judge(contents)).toEqual(clean);
    const more = withEntries(one, two, { owner: 'a', op: '3', rows: 1 });
    expect(ledger().judge(more)).toEqual(clean);
  });

  it.each<[string, Contents, Partial<typeof clean> | object]>([
    ['a write that is gone', withEntries(two), { lost: ['write 1 of a'] }],
    [
      'a write that is there twice',
      withEntries(one, one, two),
      { doubled: ['write 1 of a is there 2 times instead of 1'] },
    ],
    [
      'one on two shards, of unknown outcome',
      withEntries(one, two, { owner: 'a', op: '3', rows: 1 }, { owner: 'a', op: '3', rows: 1 }),
      { doubled: ['write 3 of a is there 2 times instead of 1'] },
    ],
    [
      'half a transaction',
      withEntries(one, { owner: 'a', op: '2', rows: 1 }),
      { torn: ['write 2 of a is there 1 times of 2'] },
    ],
    [
      'a deleted row that came back',
      withEntries(one, two, { owner: 'b', op: '4', rows: 1 }),
      { lost: ['the deletion of write 4 of b'] },
    ],
    [
      'a refused write',
      withEntries(one, two, { owner: 'b', op: '9', rows: 1 }),
      { doubled: ['write b 9 was refused and is there'] },
    ],
    [
      'an update that is gone',
      { ...contents, accounts: contents.accounts.map(row => ({ ...row, version: '0' })) },
      { lost: ['1 updates of account a'] },
    ],
    [
      'an update that was repeated',
      { ...contents, accounts: contents.accounts.map(row => ({ ...row, version: '1' })) },
      { doubled: ['1 updates of account b'] },
    ],
    [
      'an account that is gone',
      { ...contents, accounts: contents.accounts.slice(1) },
      { lost: ['account a'] },
    ],
    [
      'an account on two shards',
      { ...contents, accounts: [...contents.accounts, ...contents.accounts.slice(1)] },
      { doubled: ['account b is there 2 times'] },
    ],
    [
      'money gone astray',
      { ...contents, money: contents.money.map(row => ({ ...row, money: row.owner === 'a' ? 9 : 10 })) },
      { torn: ['a has 9 instead of 10'] },
    ],
  ])('finds %s', (_name, given, found) => {
    expect(ledger().judge(given)).toEqual({ ...clean, ...found });
  });

  it('knows what an owner must read of its own writes', () => {
    const made = ledger();
    expect(made.versions('a')).toEqual([1, 1]);
    expect(made.entryCounts('a')).toEqual([3, 4]);
    expect(made.entryCounts('b')).toEqual([0, 0]);
    made.bumped('a', 'unknown');
    expect(made.versions('a')).toEqual([1, 2]);
    expect(made.removable('a')).toBe('1');
    expect(made.removable('b')).toBeUndefined();
  });
});

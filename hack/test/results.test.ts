import { describe, expect, test } from 'vitest';
import { addResults, closingLine, noResults, readReport } from './results.ts';

type Told = readonly [fullName: string, status: string, failureMessages?: string[]];

function file(name: string, status: string, tests: readonly Told[], message = ''): object {
  const assertionResults = tests.map(([fullName, state, failureMessages]) => ({
    fullName,
    status: state,
    failureMessages,
  }));
  return { name, status, message, assertionResults };
}

function read(files: readonly object[], exitCode: number): ReturnType<typeof readReport> {
  return readReport(JSON.stringify({ testResults: files }), exitCode);
}

describe('readReport', () => {
  test('counts tests by what became of them, and names those that did not run', () => {
    const results = read(
      [
        file('a.test.ts', 'failed', [
          ['one', 'passed'],
          ['two', 'failed', ['Error: two is not one\n    at a.test.ts:7']],
        ]),
        file('b.test.ts', 'passed', [
          ['three', 'passed'],
          ['four', 'pending'],
          ['five', 'todo'],
        ]),
      ],
      1,
    );
    expect(results).toEqual({
      passed: 2,
      failed: 1,
      failures: ['a.test.ts: two: Error: two is not one'],
      skipped: ['b.test.ts: four', 'b.test.ts: five'],
    });
  });

  test('a file that could not be collected is a failure', () => {
    expect(read([file('a.test.ts', 'failed', [], 'SyntaxError: no\n  at 1')], 1)).toEqual({
      passed: 0,
      failed: 1,
      failures: ['a.test.ts: the file itself: SyntaxError: no'],
      skipped: [],
    });
  });

  test('an error outside of every test is a failure', () => {
    expect(read([file('a.test.ts', 'passed', [['one', 'passed']])], 1)).toMatchObject({
      passed: 1,
      failed: 1,
    });
  });

  test('a run that found no test is a failure, for vitest ends with 1', () => {
    expect(read([], 1)).toMatchObject({ passed: 0, failed: 1 });
  });
});

test('runs add up to one closing line', () => {
  const first = read([file('a.test.ts', 'passed', [['one', 'passed']])], 0);
  const second = read([file('b.test.ts', 'passed', [['two', 'skipped']])], 0);
  expect(closingLine(addResults(addResults(noResults, first), second))).toBe('1 passed, 0 failed, 1 skipped');
});

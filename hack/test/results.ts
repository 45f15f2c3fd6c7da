/** What vitest's JSON report says, added up over several runs. */
import { z } from 'zod';

const report = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().default(''),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});

export interface Results {
  readonly passed: number;
  /** Tests that failed, and files that could not even be collected. */
  readonly failed: number;
  /** `file: name: first line of the message` of each failure that the report knows. */
  readonly failures: readonly string[];
  /** `file: name` of each test that was skipped or left to do. */
  readonly skipped: readonly string[];
}

export const noResults: Results = { passed: 0, failed: 0, failures: [], skipped: [] };

/**
 * Reads one report. `exitCode` is what vitest ended with: where it is not 0 though no test failed (an error outside of
 * any test, no test found), that counts as one failure.
 */
export function readReport(json: string, exitCode: number): Results {
  const { testResults } = report.parse(JSON.parse(json));
  let passed = 0;
  const failures: string[] = [];
  const skipped: string[] = [];
  for (const file of testResults) {
    const before = failures.length;
    for (const { status, fullName, failureMessages } of file.assertionResults) {
      if (status === 'passed') passed++;
      else if (status === 'failed') failures.push(inOneLine(file.name, fullName, failureMessages?.[0]));
      else skipped.push(`${file.name}: ${fullName}`);
    }
    if (file.status === 'failed' && failures.length === before)
      failures.push(inOneLine(file.name, 'the file itself', file.message));
  }
  const failed = failures.length === 0 && exitCode !== 0 ? 1 : failures.length;
  return { passed, failed, failures, skipped };
}

function inOneLine(file: string, test: string, message = ''): string {
  return `${file}: ${test}: ${message.split('\n')[0]}`;
}

export function addResults(a: Results, b: Results): Results {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    failures: [...a.failures, ...b.failures],
    skipped: [...a.skipped, ...b.skipped],
  };
}

/** The closing line of a run, alone on its line. */
export function closingLine(results: Results): string {
  return `${results.passed} passed, ${results.failed} failed, ${results.skipped.length} skipped`;
}

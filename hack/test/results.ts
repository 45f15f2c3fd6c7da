/** What vitest's JSON report says, added up over several runs. */
import { z } from 'zod';

const report = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().default(''),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
    }),
  ),
});

export interface Results {
  readonly passed: number;
  /** Tests that failed, and files that could not even be collected. */
  readonly failed: number;
  /** `file: name` of each test that was skipped or left to do. */
  readonly skipped: readonly string[];
}

export const noResults: Results = { passed: 0, failed: 0, skipped: [] };

/**
 * Reads one report. `exitCode` is what vitest ended with: where it is not 0 though no test failed (an error outside of
 * any test, no test found), that counts as one failure.
 */
export function readReport(json: string, exitCode: number): Results {
  const { testResults } = report.parse(JSON.parse(json));
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  for (const file of testResults) {
    let failedHere = 0;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') failedHere++;
      else skipped.push(`${file.name}: ${test.fullName}`);
    }
    failed += failedHere === 0 && file.status === 'failed' ? 1 : failedHere;
  }
  return { passed, failed: failed === 0 && exitCode !== 0 ? 1 : failed, skipped };
}

export function addResults(a: Results, b: Results): Results {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: [...a.skipped, ...b.skipped] };
}

/** The closing line of a run, alone on its line. */
export function closingLine(results: Results): string {
  return `${results.passed} passed, ${results.failed} failed, ${results.skipped.length} skipped`;
}

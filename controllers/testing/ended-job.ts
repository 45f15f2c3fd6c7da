/** A Job's status as its controller writes it at the end. */
import type { Job } from '#kernel/resources.ts';

export function endedJobStatus({ metadata }: Job, at: string, succeeded: boolean): object {
  const condition = (of: string) => ({ type: of, status: 'True', reason: 'Test', lastTransitionTime: at });
  const startTime = metadata.creationTimestamp ?? '';
  return succeeded
    ? {
        startTime,
        completionTime: at,
        succeeded: 1,
        conditions: [condition('SuccessCriteriaMet'), condition('Complete')],
      }
    : { startTime, failed: 1, conditions: [condition('FailureTarget'), condition('Failed')] };
}

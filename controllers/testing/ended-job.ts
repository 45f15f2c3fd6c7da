/** What pods tell, and how Jobs end, in a cluster where no pod runs. Both do nothing where the object is gone meanwhile. */
import { annotations } from '#crds/api/names.ts';
import { orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';
import type { Resource } from '#kernel/resource.ts';
import { type Job, Jobs } from '#kernel/resources.ts';

/** As the program in a pod tells, by an annotation of its pod or Job. */
export async function tellReport<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  key: ObjectKey,
  report: object,
): Promise<void> {
  const body = { metadata: { annotations: { [annotations.report]: JSON.stringify(report) } } };
  await orUndefined(client.patch(resource, key, { type: 'merge', body }));
}

/** As the controller of Jobs writes it. */
export async function endJob(client: KubeClient, job: Job, at: string, succeeded: boolean): Promise<void> {
  const condition = (of: string) => ({ type: of, status: 'True', reason: 'Test', lastTransitionTime: at });
  const startTime = job.metadata.creationTimestamp ?? '';
  const status = succeeded
    ? {
        startTime,
        completionTime: at,
        succeeded: 1,
        conditions: [condition('SuccessCriteriaMet'), condition('Complete')],
      }
    : { startTime, failed: 1, conditions: [condition('FailureTarget'), condition('Failed')] };
  const patch = { type: 'merge', body: { status } } as const;
  await orUndefined(client.patch(Jobs, job.metadata, patch, { subresource: 'status' }));
}

import { annotations } from '#crds/api/names.ts';
import type { Job } from '#kernel/resources.ts';

/** A Job that was made for something that was asked for, and how it has ended as far as Kubernetes knows. */
export interface JobFacts {
  readonly name: string;
  readonly uid: string | undefined;
  /** What it was made for. */
  readonly request: string;
  readonly state: 'Running' | 'Complete' | 'Failed';
  /** Why it failed. */
  readonly message: string | undefined;
  readonly ended: string | undefined;
}

export function jobFacts({ metadata, status }: Job): JobFacts {
  const end = status?.conditions?.find(
    ({ type, status: holds }) => holds === 'True' && (type === 'Complete' || type === 'Failed'),
  );
  const why = [end?.reason, end?.message].filter(Boolean).join(': ');
  return {
    name: metadata.name,
    uid: metadata.uid,
    request: metadata.annotations?.[annotations.request] ?? '',
    // One that is being deleted is not yet gone, and no end of another.
    state:
      end === undefined || metadata.deletionTimestamp
        ? 'Running'
        : end.type === 'Complete'
          ? 'Complete'
          : 'Failed',
    message: why === '' ? undefined : why,
    ended: end?.lastTransitionTime,
  };
}

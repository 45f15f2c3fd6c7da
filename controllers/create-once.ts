import { AlreadyExistsError } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';

/** Makes an object that is never made again under its name. It may be there already: the cache may not show it yet. */
export async function createOnce(client: KubeClient, object: KubeObject, signal: AbortSignal): Promise<void> {
  try {
    await client.create(object, { signal, fieldValidation: 'Strict' });
  } catch (error) {
    if (!(error instanceof AlreadyExistsError)) throw error;
  }
}

/**
 * Who may read a fleet's map: whoever shows the `map-token` of its application's Secret. The Secret is read by name, and
 * believed for a short while; a wrong token makes it be read anew, though not more than once a second.
 */

import { decodeSecret, type SecretReader } from '#controllers/secrets/secret-reader.ts';
import { clusterChildren } from '#crds/api/names.ts';
import type { Clock } from '#kernel/clock.ts';
import { ForbiddenError } from '#kernel/errors.ts';
import { type Authorize, sameToken } from './map-service/map-pages.ts';

const REREAD_MS = 1000;
/** Kubernetes names are lower case; anything else would be a path of somebody's making. */
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

export function mapAuthorizer(options: {
  readonly secrets: SecretReader;
  readonly clock: Clock;
  /** Whether there is such a fleet: names that are made up cost no request. */
  readonly exists: (namespace: string, cluster: string) => boolean;
}): Authorize {
  const { secrets, clock, exists } = options;
  const reread = new Map<string, number>();
  const tokenOf = async (namespace: string, name: string): Promise<string | undefined> => {
    try {
      return decodeSecret(await secrets.read({ namespace, name }, AbortSignal.timeout(10_000)))?.[
        'map-token'
      ];
    } catch (error) {
      if (error instanceof ForbiddenError) return undefined;
      throw error;
    }
  };
  return async (token, namespace, cluster) => {
    if (!NAME.test(namespace) || !NAME.test(cluster) || !exists(namespace, cluster)) return false;
    const name = clusterChildren.appSecret(cluster);
    const known = await tokenOf(namespace, name);
    if (known !== undefined && sameToken(token, known)) return true;
    const key = `${namespace}/${name}`;
    const now = clock.monotonicMs();
    if (now - (reread.get(key) ?? Number.NEGATIVE_INFINITY) < REREAD_MS) return false;
    reread.set(key, now);
    secrets.forget({ namespace, name });
    const fresh = await tokenOf(namespace, name);
    return fresh !== undefined && sameToken(token, fresh);
  };
}

/**
 * Writing the pages of a map. Making one: the header last, and never over a header that is there. Changing one: by
 * compare-and-swap, the pages that others refer to first.
 */
import { AlreadyExistsError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { type ConfigMap, ConfigMaps } from '#kernel/resources.ts';
import { pageAnnotation } from './map-config-maps.ts';

/** The map came to be meanwhile: the cache is behind. Look again shortly. */
export class MapExistsError extends Error {
  override readonly name = 'MapExistsError';
  readonly code = 'MapExists';
  readonly remedy = 'None is needed: the next pass sees the map.';
}

/** `fresh`: the map as a whole does not exist yet, as far as the cache knows. */
export async function createPage(
  client: KubeClient,
  page: ConfigMap,
  fresh: boolean,
  signal: AbortSignal,
): Promise<void> {
  const header = page.metadata.annotations?.[pageAnnotation] === 'header';
  try {
    await client.create(page, { signal });
    return;
  } catch (error) {
    if (!(error instanceof AlreadyExistsError)) throw error;
  }
  // A page without a header is left over from a try that was cut off.
  if (header || !fresh) throw new MapExistsError(`ConfigMap ${page.metadata.name} exists already`);
  const live = await client.get(ConfigMaps, page.metadata, { signal });
  const { resourceVersion } = live.metadata;
  await client.replace(
    { ...page, metadata: { ...page.metadata, ...(resourceVersion ? { resourceVersion } : {}) } },
    { signal },
  );
}

/** Throws MapExistsError when there is a header that the cache does not know of. */
export async function assertNoHeader(
  client: KubeClient,
  header: ConfigMap,
  signal: AbortSignal,
): Promise<void> {
  if (await orUndefined(client.get(ConfigMaps, header.metadata, { signal }))) {
    throw new MapExistsError(`ConfigMap ${header.metadata.name} exists already`);
  }
}

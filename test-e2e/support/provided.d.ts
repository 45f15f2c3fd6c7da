/** What global-setup.ts hands to the tests. */
import type { Cluster } from '#hack/cluster/ensure.ts';

declare module 'vitest' {
  interface ProvidedContext {
    cluster: Cluster;
    /** The S3 server of {@link startObjectStore}. */
    objectStoreImage: string;
  }
}

/** What global-setup.ts hands to the tests. */
import type { Cluster } from '#hack/cluster/ensure.ts';

declare module 'vitest' {
  interface ProvidedContext {
    cluster: Cluster;
  }
}

/** Where an elector keeps its lease. */
import { orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { CallOptions } from '#kernel/kube-options.ts';
import { type Lease, Leases } from '#kernel/resources.ts';

export interface LeaseStore {
  read(options: CallOptions): Promise<Lease | undefined>;
  /** Creates a lease without a resourceVersion, replaces one with; throws ConflictError or AlreadyExistsError when another was faster. */
  write(lease: Lease, options: CallOptions): Promise<void>;
}

/** A Lease object of coordination.k8s.io. */
export function leaseStore(client: KubeClient, namespace: string, name: string): LeaseStore {
  return {
    read: options => orUndefined(client.get(Leases, { namespace, name }, options)),
    async write(lease, options) {
      const metadata = { ...lease.metadata, namespace, name };
      if (metadata.resourceVersion) await client.replace({ ...lease, metadata }, options);
      else await client.create({ ...lease, metadata }, options);
    },
  };
}

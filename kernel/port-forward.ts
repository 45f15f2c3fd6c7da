/**
 * Opens byte streams to Services from outside the cluster's network, through the API server. A name is resolved at each
 * call, so a new stream follows a switchover.
 */
import type { Duplex } from 'node:stream';
import type { KubeConfig } from '@kubernetes/client-node';

export interface ServiceEndpoint {
  /** `<service>`, `<service>.<namespace>`, `<service>.<namespace>.svc` or with `.cluster.local`. */
  readonly host: string;
  readonly port: number;
}

/** The stream is connected; it ends when either side does. Rejects with PortForwardError when no pod is ready. */
export type PortForwardDial = (endpoint: ServiceEndpoint, signal: AbortSignal) => Promise<Duplex>;

export function createPortForwardDial(_config: KubeConfig, _namespace: string): PortForwardDial {
  throw new Error('not written yet');
}

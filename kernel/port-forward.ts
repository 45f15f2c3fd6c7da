/**
 * Opens byte streams to Services from outside the cluster's network, through the API server. A name is resolved at each
 * call, so a new stream follows a switchover. The stream honours back-pressure in both directions.
 */

import type { RequestOptions } from 'node:https';
import { Duplex } from 'node:stream';
import { CoreV1Api, type KubeConfig, type V1Endpoints, type V1Service } from '@kubernetes/client-node';
import { WebSocket } from 'ws';

export interface ServiceEndpoint {
  /** `<service>`, `<service>.<namespace>`, `<service>.<namespace>.svc` or with `.cluster.local`. */
  readonly host: string;
  readonly port: number;
}

/** The stream is connected; it ends when either side does. Rejects with PortForwardError: then nothing was sent. */
export type PortForwardDial = (endpoint: ServiceEndpoint, signal: AbortSignal) => Promise<Duplex>;

export class PortForwardError extends Error {
  override readonly name = 'PortForwardError';
  readonly code = 'PortForward';
  readonly remedy: string;

  constructor(message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.remedy = remedy;
  }
}

/** `namespace` is for names that have none. */
export function createPortForwardDial(config: KubeConfig, namespace: string): PortForwardDial {
  const core = config.makeApiClient(CoreV1Api);
  return async (endpoint, signal) => {
    signal.throwIfAborted();
    const [name = '', inNamespace = namespace] = endpoint.host.split('.');
    const [service, endpoints] = await Promise.all([
      core.readNamespacedService({ name, namespace: inNamespace }),
      core.readNamespacedEndpoints({ name, namespace: inNamespace }),
    ]).catch((cause: unknown) => {
      throw new PortForwardError(
        `cannot look up Service ${inNamespace}/${name}`,
        'Check its name, and that the kubeconfig in use may get Services and Endpoints there.',
        { cause },
      );
    });
    const { pod, port } = podBehind(service, endpoints, endpoint.port);
    return openStream(config, inNamespace, pod, port, signal);
  };
}

/**
 * The pod and its port that a Service's port leads to. Reads the Endpoints for Services of both kinds: those with a
 * selector, where Kubernetes lists the ready pods, and those without, where Patroni lists the leader.
 */
export function podBehind(
  service: V1Service,
  endpoints: V1Endpoints,
  port: number,
): { readonly pod: string; readonly port: number } {
  const name = `${service.metadata?.namespace}/${service.metadata?.name}`;
  const declared = service.spec?.ports?.find(each => each.port === port);
  if (declared === undefined) {
    throw new PortForwardError(`Service ${name} has no port ${port}`, 'Use one of the ports in its spec.');
  }
  for (const subset of endpoints.subsets ?? []) {
    const pod = subset.addresses?.find(address => address.targetRef?.kind === 'Pod')?.targetRef?.name;
    if (pod === undefined) continue;
    const listed = subset.ports?.find(each => each.name === declared.name)?.port;
    const numeric = typeof declared.targetPort === 'number' ? declared.targetPort : port;
    return { pod, port: listed ?? numeric };
  }
  throw new PortForwardError(
    `Service ${name} has no ready pod`,
    'Wait until a pod is ready; a read-write Service has none during a fail-over.',
  );
}

/** Each message starts with the number of its channel: 0 data, 1 error text. The first of each names the port. */
async function openStream(
  config: KubeConfig,
  namespace: string,
  pod: string,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new PortForwardError(
      'the kubeconfig has no current cluster',
      'Choose one: kubectl config use-context.',
    );
  }
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/portforward?ports=${port}`;
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const socket = new WebSocket(cluster.server.replace(/^http/, 'ws') + path, ['v4.channel.k8s.io'], {
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.cert === undefined ? {} : { cert: options.cert }),
    ...(options.key === undefined ? {} : { key: options.key }),
    ...(options.headers === undefined ? {} : { headers: plainHeaders(options.headers) }),
    ...(options.servername === undefined ? {} : { servername: options.servername }),
    ...(options.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: options.rejectUnauthorized }),
    perMessageDeflate: false,
  });
  const stream = wrap(socket, `${namespace}/${pod}:${port}`);
  try {
    await opened(socket, signal);
  } catch (cause) {
    stream.destroy();
    signal.throwIfAborted();
    throw new PortForwardError(
      `cannot open a stream to ${namespace}/${pod}:${port}`,
      'Check that the pod runs and that the kubeconfig in use may create pods/portforward there.',
      { cause },
    );
  }
  socket.on('error', error => stream.destroy(error));
  return stream;
}

function wrap(socket: WebSocket, target: string): Duplex {
  const greeted = new Set<number>();
  const stream = new Duplex({
    read: () => socket.resume(),
    write(chunk: Buffer, _encoding, done) {
      const message = Buffer.allocUnsafe(chunk.length + 1);
      message[0] = 0;
      chunk.copy(message, 1);
      socket.send(message, done);
    },
    // The protocol cannot close one direction only.
    final(done) {
      socket.close();
      done();
    },
    destroy(error, done) {
      socket.terminate();
      done(error);
    },
  });
  socket.on('message', (message: Buffer) => {
    const channel = message[0] ?? 0;
    const payload = message.subarray(greeted.has(channel) ? 1 : 3);
    greeted.add(channel);
    if (payload.length === 0 || stream.destroyed) return;
    if (channel === 0) {
      if (!stream.push(payload)) socket.pause();
      return;
    }
    const text = payload.toString('utf8').trim();
    stream.destroy(
      new PortForwardError(
        `forwarding to ${target} failed: ${text}`,
        'Check that the pod runs and listens on that port.',
      ),
    );
  });
  socket.on('close', () => {
    if (!stream.destroyed) stream.push(null);
  });
  return stream;
}

function opened(socket: WebSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(new Error('aborted'));
    const settle = (finish: () => void) => () => {
      signal.removeEventListener('abort', aborted);
      finish();
    };
    signal.addEventListener('abort', aborted, { once: true });
    socket.once('open', settle(resolve));
    // Stays: terminating a socket that is still connecting emits a second error.
    socket.on('error', error => settle(() => reject(error))());
  });
}

/** node:https allows lists of headers; the kubeconfig's are always a record. */
function plainHeaders(headers: NonNullable<RequestOptions['headers']>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

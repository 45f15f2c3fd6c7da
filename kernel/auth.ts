/**
 * Where the API server is and how to prove who we are. Inside a pod nothing but two files and two variables is read;
 * a kubeconfig (with exec plugins, OIDC, proxies) is left to @kubernetes/client-node, which is loaded only then:
 * it costs about 90 MB of memory.
 */
import { readFile } from 'node:fs/promises';
import type { Agent } from 'node:http';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';

export interface Credentials {
  readonly tls: TlsMaterial;
  /** Sent with each request: `authorization`, impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  /** Only behind a proxy: connections are made by this agent. */
  readonly agent?: Agent;
}

export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface Authenticator {
  /** Scheme, host, port and perhaps a path prefix. */
  readonly server: URL;
  /** Namespace to use where none is given. */
  readonly namespace: string;
  /** Cheap enough to be called every few seconds: files may have been rotated. `fresh` follows a 401. */
  credentials(options: { readonly fresh: boolean }): Promise<Credentials>;
}

export class AuthError extends Error {
  override readonly name = 'AuthError';
  readonly code = 'Auth';
  readonly remedy: string;

  constructor(message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.remedy = remedy;
  }
}

const serviceAccountDir = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The pod's own service account. The kubelet rotates the token file; it is read again at every call. */
export async function inClusterAuth(
  env: NodeJS.ProcessEnv = process.env,
  dir: string = serviceAccountDir,
): Promise<Authenticator> {
  const host = env['KUBERNETES_SERVICE_HOST'];
  if (!host) {
    throw new AuthError('KUBERNETES_SERVICE_HOST is not set', 'Run inside a pod, or give a kubeconfig.');
  }
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const read = async (file: string): Promise<string> => {
    try {
      return (await readFile(join(dir, file), 'utf8')).trim();
    } catch (cause) {
      throw new AuthError(
        `cannot read ${join(dir, file)}`,
        'Let the pod mount its service account token (automountServiceAccountToken).',
        { cause },
      );
    }
  };
  return {
    server: new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`),
    namespace: await read('namespace'),
    async credentials() {
      const [ca, token] = await Promise.all([read('ca.crt'), read('token')]);
      return { tls: { ca }, headers: { authorization: `Bearer ${token}` } };
    },
  };
}

/** A kubeconfig's current context. `load` is called again after a 401, for files that were rewritten. */
export function kubeConfigAuth(load: () => KubeConfig): Authenticator {
  let config = load();
  const cluster = config.getCurrentCluster();
  if (!cluster) {
    throw new AuthError(
      'the kubeconfig has no current cluster',
      'Choose one: kubectl config use-context NAME.',
    );
  }
  return {
    server: new URL(cluster.server),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    async credentials({ fresh }) {
      if (fresh) config = load();
      const options: RequestOptions = { headers: {} };
      await config.applyToHTTPSOptions(options);
      return {
        tls: {
          ...text('ca', options.ca),
          ...text('cert', options.cert),
          ...text('key', options.key),
          ...(options.servername === undefined ? {} : { servername: options.servername }),
          ...(options.rejectUnauthorized === undefined
            ? {}
            : { rejectUnauthorized: options.rejectUnauthorized }),
        },
        headers: headersOf(options),
        ...(cluster.proxyUrl && typeof options.agent === 'object' ? { agent: options.agent } : {}),
      };
    },
  };
}

function text(name: 'ca' | 'cert' | 'key', value: unknown): Partial<Record<typeof name, string>> {
  if (typeof value === 'string') return { [name]: value };
  return Buffer.isBuffer(value) ? { [name]: value.toString('utf8') } : {};
}

function headersOf(options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (value !== undefined) headers[name.toLowerCase()] = String(value).trim();
  }
  if (options.auth) headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return headers;
}

/** `$KUBECONFIG` if set; else the pod's own account inside a cluster; else `~/.kube/config`. */
export async function defaultAuth(options: { readonly context?: string } = {}): Promise<Authenticator> {
  if (!process.env['KUBECONFIG'] && process.env['KUBERNETES_SERVICE_HOST']) return inClusterAuth();
  const { KubeConfig } = await import('@kubernetes/client-node');
  return kubeConfigAuth(() => {
    const config = new KubeConfig();
    config.loadFromDefault();
    if (options.context) config.setCurrentContext(options.context);
    return config;
  });
}

export async function kubeConfigFileAuth(path: string): Promise<Authenticator> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  return kubeConfigAuth(() => {
    const config = new KubeConfig();
    config.loadFromFile(path);
    return config;
  });
}

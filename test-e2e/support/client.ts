/** The client library as an application has it, but from outside the cluster: through port-forward streams. */
import { type Client, type ClientOptions, createClient } from '#client/index.ts';
import { createPortForwardDial } from '#kernel/port-forward.ts';
import type { TestNamespace } from './namespace.ts';

/** Reads the fleet's Secret as a pod's mount would show it, again whenever a password was refused. */
export async function connectClient(
  namespace: TestNamespace,
  fleet = 'fleet',
  options: Partial<ClientOptions> = {},
): Promise<Client> {
  const credentials = async () => {
    const secret = await namespace.secret(`${fleet}-app`);
    return {
      password: secret['password'] ?? '',
      ca: secret['ca.crt'] ?? '',
      ...(secret['next-password'] ? { nextPassword: secret['next-password'] } : {}),
      ...(secret['reference-password'] ? { referencePassword: secret['reference-password'] } : {}),
    };
  };
  const secret = await namespace.secret(`${fleet}-app`);
  return createClient({
    map: {
      url: secret['map-url'] ?? '',
      token: secret['map-token'] ?? '',
      ...(secret['map-ca.crt'] ? { ca: secret['map-ca.crt'] } : {}),
    },
    database: secret['database'] ?? 'app',
    credentials,
    dial: createPortForwardDial(namespace.cluster.kubeConfig, namespace.name),
    ...options,
  });
}

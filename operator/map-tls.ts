/**
 * The map service's certificate: an authority and a certificate in one Secret of the operator's own namespace, shared by all
 * replicas. Whoever starts first makes it; all renew it in time, the first write wins. The authority is published into each
 * fleet's application Secret as `map-ca.crt`; its life is ten years, and a successor is made by deleting the Secret.
 */
import { createAuthority, issueCertificate } from '#controllers/pki/authority.ts';
import { reissueReason } from '#controllers/pki/policies.ts';
import { decodeSecret, encodeFields } from '#controllers/secrets/secret-reader.ts';
import type { Clock } from '#kernel/clock.ts';
import { AlreadyExistsError, ConflictError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { Log } from '#kernel/log.ts';
import { type Secret, Secrets } from '#kernel/resources.ts';

export interface MapTls {
  readonly cert: string;
  readonly key: string;
  /** PEM of the authority. */
  readonly ca: string;
}

export interface MapTlsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  readonly serviceName: string;
}

export function mapServiceNames({
  serviceName,
  namespace,
}: Pick<MapTlsOptions, 'serviceName' | 'namespace'>): readonly string[] {
  return [
    `${serviceName}.${namespace}.svc`,
    `${serviceName}.${namespace}.svc.cluster.local`,
    `${serviceName}.${namespace}`,
    serviceName,
    'localhost',
  ];
}

/** Reads the Secret; makes or renews it where that is due. Throws KubeError. */
export async function ensureMapTls(options: MapTlsOptions): Promise<MapTls> {
  const { client, clock, log, namespace, serviceName } = options;
  const key = { namespace, name: `${serviceName}-map-tls` };
  // Two replicas that start at once meet here: one of them reads what the other wrote.
  for (;;) {
    const secret = await orUndefined(client.get(Secrets, key));
    const fields = decodeSecret(secret) ?? {};
    const now = clock.now();
    const dnsNames = mapServiceNames(options);
    const { 'ca.crt': ca, 'ca.key': caKey, 'tls.crt': cert, 'tls.key': tlsKey } = fields;
    if (ca && caKey && cert && tlsKey) {
      const reason = reissueReason({ certificate: cert, key: tlsKey, dnsNames, issuer: ca, now });
      if (reason === undefined) return { cert, key: tlsKey, ca };
      log.info({ reason }, 'renewing the certificate of the map service');
    }
    const authority =
      ca && caKey ? { certificate: ca, key: caKey } : await createAuthority(`${serviceName} map`, now);
    const pair = await issueCertificate(authority, dnsNames, now);
    const data = encodeFields({
      'ca.crt': authority.certificate,
      'ca.key': authority.key,
      'tls.crt': pair.certificate,
      'tls.key': pair.key,
    });
    const wanted: Secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      metadata: secret?.metadata ?? { ...key, labels: { 'app.kubernetes.io/name': 'shardwright' } },
      data,
    };
    try {
      await (secret ? client.replace(wanted) : client.create(wanted));
      return { cert: pair.certificate, key: pair.key, ca: authority.certificate };
    } catch (error) {
      if (!(error instanceof AlreadyExistsError) && !(error instanceof ConflictError)) throw error;
    }
  }
}

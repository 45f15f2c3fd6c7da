/**
 * The server certificate of a shard: issued from the fleet's authority, renewed when two thirds of its life have passed, and
 * whenever its names or its issuer change. Members read it from a mounted volume and reload by themselves. With
 * spec.tls.issuerRef the same Secret is filled by cert-manager.
 */

import { CERTIFICATE_LIFETIME_DAYS, issueCertificate } from '#controllers/pki/authority.ts';
import { parseBundle, parseCertificate, reissueReason } from '#controllers/pki/policies.ts';
import { decodeSecret, encodeFields, type SecretReader } from '#controllers/secrets/secret-reader.ts';
import { shardLabels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { Applier } from '#kernel/apply.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Log } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import { ownedBy } from '#kernel/owner.ts';
import type { Secret } from '#kernel/resources.ts';

export interface CertificateFacts {
  /** RFC 3339; undefined while there is no certificate yet. */
  readonly expiry: string | undefined;
}

interface Checked {
  readonly at: number;
  /** Names and authority that the check was for. */
  readonly for: string;
  readonly expiry: string;
}

export interface CertificatesOptions {
  readonly secrets: SecretReader;
  readonly applier: Applier;
  readonly clock: Clock;
}

/** How long a certificate that was found good is not looked at again. */
const LOOK_AGAIN_MS = 600_000;

export class Certificates {
  readonly #options: CertificatesOptions;
  /** A few bytes per shard instead of its Secret. */
  readonly #checked = new Map<string, Checked>();

  constructor(options: CertificatesOptions) {
    this.#options = options;
  }

  /** Undefined facts while the authority is not there yet. Throws KubeError. */
  async ensure(
    shard: Shard,
    names: readonly string[],
    context: { readonly signal: AbortSignal; readonly log: Log },
  ): Promise<CertificateFacts> {
    const { secrets, applier, clock } = this.#options;
    const { signal, log } = context;
    const namespace = shard.metadata.namespace ?? '';
    if (shard.spec.tls.issuerRef) {
      await applier.apply(certificateRequest(shard, names), { signal });
      const issued = decodeSecret(await secrets.read({ namespace, name: shard.spec.secrets.tls }, signal));
      return { expiry: parseCertificate(issued?.['tls.crt'] ?? '')?.validToDate.toISOString() };
    }
    const authority = decodeSecret(await secrets.read({ namespace, name: shard.spec.secrets.ca }, signal));
    const issuer = parseBundle(authority?.['ca.crt'] ?? '')[0]?.toString();
    const issuerKey = authority?.['ca.key'];
    if (issuer === undefined || issuerKey === undefined) return { expiry: undefined };

    const id = `${namespace}/${shard.metadata.name}`;
    const wanted = [shard.metadata.uid, issuer, ...names].join('\n');
    const checked = this.#checked.get(id);
    const now = clock.now();
    if (checked && checked.for === wanted && clock.monotonicMs() - checked.at < LOOK_AGAIN_MS) {
      return { expiry: checked.expiry };
    }
    // Read past the cache: what counts is what is there now.
    secrets.forget({ namespace, name: shard.spec.secrets.tls });
    const found = await secrets.read({ namespace, name: shard.spec.secrets.tls }, signal);
    const current = decodeSecret(found);
    const reason = reissueReason({
      certificate: current?.['tls.crt'],
      key: current?.['tls.key'],
      dnsNames: names,
      issuer,
      now,
    });
    let certificate = current?.['tls.crt'] ?? '';
    if (reason !== undefined) {
      log.info({ reason, secretName: shard.spec.secrets.tls }, 'issuing the server certificate');
      const pair = await issueCertificate({ certificate: issuer, key: issuerKey }, names, now);
      ({ certificate } = pair);
      const written = await applier.apply(tlsSecret(shard, pair), { signal, live: found ?? null });
      secrets.keep(written.object);
    }
    const expiry = parseCertificate(certificate)?.validToDate.toISOString() ?? now.toISOString();
    this.#checked.set(id, { at: clock.monotonicMs(), for: wanted, expiry });
    return { expiry };
  }

  forget(shard: { readonly namespace: string; readonly name: string }): void {
    this.#checked.delete(`${shard.namespace}/${shard.name}`);
  }
}

function tlsSecret(shard: Shard, pair: { readonly certificate: string; readonly key: string }): Secret {
  const { name, namespace } = shard.metadata;
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: {
      name: shard.spec.secrets.tls,
      ...(namespace ? { namespace } : {}),
      labels: shardLabels(shard.spec.cluster.name, name),
    },
    data: encodeFields({ 'tls.crt': pair.certificate, 'tls.key': pair.key }),
  };
  return ownedBy(secret, shard);
}

function certificateRequest(shard: Shard, names: readonly string[]): KubeObject {
  const { name, namespace } = shard.metadata;
  return ownedBy<KubeObject>(
    {
      apiVersion: 'cert-manager.io/v1',
      kind: 'Certificate',
      metadata: {
        name: shard.spec.secrets.tls,
        ...(namespace ? { namespace } : {}),
        labels: shardLabels(shard.spec.cluster.name, name),
      },
      spec: {
        secretName: shard.spec.secrets.tls,
        dnsNames: names,
        duration: `${CERTIFICATE_LIFETIME_DAYS * 24}h0m0s`,
        privateKey: { algorithm: 'ECDSA', size: 256, rotationPolicy: 'Always' },
        usages: ['digital signature', 'server auth', 'client auth'],
        issuerRef: { ...shard.spec.tls.issuerRef },
      },
    },
    shard,
  );
}

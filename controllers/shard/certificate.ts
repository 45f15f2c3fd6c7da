/**
 * The server certificate of a shard: issued from the fleet's authority, renewed when two thirds of its life have passed, and
 * whenever its names or its issuer change. Members read it from a mounted volume and reload by themselves. With
 * spec.tls.issuerRef the same Secret is filled by cert-manager.
 */

import { CERTIFICATE_LIFETIME_DAYS, issueWith, type Signer, signerOf } from '#controllers/pki/authority.ts';
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
  /** What the check was for: a Shard and its names. */
  readonly for: string;
  /** PEM. */
  readonly issuer: string;
  readonly expiry: string;
}

interface Authority {
  /** PEM. */
  readonly issuer: string;
  /** Throws AuthorityKeyError. */
  readonly signer: () => Promise<Signer>;
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
  /** Read from its Secret once, not once for each shard and pass. */
  readonly #authorities = new WeakMap<Secret, Authority>();

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
    const authority = this.#authorityOf(
      await secrets.read({ namespace, name: shard.spec.secrets.ca }, signal),
    );
    if (authority === undefined) return { expiry: undefined };
    const { issuer } = authority;

    const id = `${namespace}/${shard.metadata.name}`;
    const wanted = [shard.metadata.uid, ...names].join('\n');
    const checked = this.#checked.get(id);
    const now = clock.now();
    const same = checked?.for === wanted && checked.issuer === issuer;
    if (same && clock.monotonicMs() - checked.at < LOOK_AGAIN_MS) {
      return { expiry: checked.expiry };
    }
    // Read past the cache: what counts is what is there now. A Shard that was never looked at has none.
    const key = { namespace, name: shard.spec.secrets.tls };
    secrets.forget(key);
    const found = shard.status === undefined ? undefined : await secrets.read(key, signal);
    // And for nobody else to keep in memory.
    secrets.forget(key);
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
      const pair = await issueWith(await authority.signer(), names, now);
      ({ certificate } = pair);
      await applier.apply(tlsSecret(shard, pair), { signal, live: found ?? null });
    }
    const expiry = parseCertificate(certificate)?.validToDate.toISOString() ?? now.toISOString();
    this.#checked.set(id, { at: clock.monotonicMs(), for: wanted, issuer, expiry });
    return { expiry };
  }

  /** Undefined while the Secret is not whole. */
  #authorityOf(secret: Secret | undefined): Authority | undefined {
    if (!secret) return undefined;
    const known = this.#authorities.get(secret);
    if (known) return known;
    const { 'ca.crt': bundle = '', 'ca.key': key } = decodeSecret(secret) ?? {};
    const issuer = parseBundle(bundle)[0]?.toString();
    if (issuer === undefined || key === undefined) return undefined;
    let signer: Promise<Signer> | undefined;
    const authority = { issuer, signer: () => (signer ??= signerOf({ certificate: issuer, key })) };
    this.#authorities.set(secret, authority);
    return authority;
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

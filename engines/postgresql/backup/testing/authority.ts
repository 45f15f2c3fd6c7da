/** A throw-away authority and one certificate of it, for servers of tests. A date in the past makes the certificate expired. */
// The X.509 library resolves its parts through it and refuses to load without.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export interface ServerIdentity {
  /** PEM of the authority. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface IdentityNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

/** `notAfter` is when the authority and its certificate end; in a day if absent. */
export async function serverIdentity(
  { dns, ip }: IdentityNames,
  notAfter: Date = new Date(Date.now() + DAY_MS),
): Promise<ServerIdentity> {
  const notBefore = new Date(notAfter.getTime() - 2 * DAY_MS);
  const authorityKeys = await newKeys();
  const authority = await X509CertificateGenerator.createSelfSigned({
    // A name of its own: verifiers look an issuer up by it.
    name: [{ CN: [`test authority ${notAfter.toISOString()} ${Math.floor(performance.now() * 1000)}`] }],
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys: authorityKeys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  });
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [dns[0] ?? 'server'] }],
    issuer: authority.subject,
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: authorityKeys.privateKey,
    extensions: [
      new SubjectAlternativeNameExtension([
        ...dns.map(value => ({ type: 'dns' as const, value })),
        ...ip.map(value => ({ type: 'ip' as const, value })),
      ]),
    ],
  });
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    ca: `${authority.toString('pem')}\n`,
    certificate: `${certificate.toString('pem')}\n`,
    key: `${PemConverter.encode(key, PemConverter.PrivateKeyTag)}\n`,
  };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

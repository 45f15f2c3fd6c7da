/**
 * Signs X.509 certificates (version 3, ECDSA on P-256 with SHA-256) of the two sorts that a fleet has: its authority and its
 * servers. Written out here because a general library for it takes 20 MB of memory and fifteen times as long per certificate,
 * of which a fleet of thousands of shards wants thousands. Node's own parser and OpenSSL are what the tests read them with.
 */
import { createHash, type KeyObject, randomBytes, sign, type X509Certificate } from 'node:crypto';
import {
  bitString,
  der,
  elements,
  explicit,
  implicit,
  objectId,
  sequence,
  tags,
  time,
  unsigned,
  yes,
} from './der.ts';

const ids = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

const signatureAlgorithm = sequence(objectId(ids.ecdsaWithSha256));
const version3 = der(explicit(0), unsigned(Buffer.from([2])));

export interface CertificateInput {
  /** Encoded names. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Encoded SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly extensions: readonly Uint8Array[];
  readonly signingKey: KeyObject;
}

/** PEM. */
export function signCertificate(input: CertificateInput): string {
  const body = sequence(
    version3,
    unsigned(randomBytes(16)),
    signatureAlgorithm,
    input.issuer,
    sequence(time(input.notBefore), time(input.notAfter)),
    input.subject,
    input.publicKey,
    der(explicit(3), sequence(...input.extensions)),
  );
  const signature = sign('sha256', body, input.signingKey);
  return pem('CERTIFICATE', sequence(body, signatureAlgorithm, bitString(signature)));
}

/** A name of one part. */
export function commonName(text: string): Buffer {
  const attribute = sequence(objectId(ids.commonName), der(tags.utf8String, Buffer.from(text)));
  return sequence(der(tags.set, attribute));
}

/** Signs servers, and no further authorities. */
export function authorityExtensions(publicKey: Buffer): readonly Buffer[] {
  return [
    extension(ids.basicConstraints, sequence(yes, unsigned(Buffer.from([0]))), 'critical'),
    // keyCertSign and cRLSign: bits 5 and 6.
    extension(ids.keyUsage, bitString(Buffer.from([0b0000_0110]), 1), 'critical'),
    extension(ids.subjectKeyIdentifier, der(tags.octetString, keyIdentifier(publicKey))),
  ];
}

/** For a server that also authenticates itself to its peers. */
export function serverExtensions(dnsNames: readonly string[], issuer: Issuer): readonly Buffer[] {
  const names = dnsNames.map(name => der(implicit(2), Buffer.from(name, 'ascii')));
  return [
    extension(ids.basicConstraints, sequence(), 'critical'),
    // digitalSignature: bit 0.
    extension(ids.keyUsage, bitString(Buffer.from([0b1000_0000]), 7), 'critical'),
    extension(ids.extendedKeyUsage, sequence(objectId(ids.serverAuth), objectId(ids.clientAuth))),
    extension(ids.subjectAltName, sequence(...names)),
    extension(ids.authorityKeyIdentifier, sequence(der(implicit(0), issuer.keyIdentifier))),
  ];
}

/** What a certificate says of whoever issued it. */
export interface Issuer {
  /** Encoded as in the issuer's own certificate: names are compared byte by byte. */
  readonly name: Uint8Array;
  readonly keyIdentifier: Uint8Array;
}

export function issuerOf(certificate: X509Certificate): Issuer {
  const [body] = elements(elements(certificate.raw)[0]?.content ?? Buffer.alloc(0));
  const fields = elements(body?.content ?? Buffer.alloc(0));
  // version, serial number, algorithm, issuer, validity, subject.
  const subject = fields[5];
  if (!subject) throw new RangeError('the certificate has no subject');
  const publicKey = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return { name: subject.whole, keyIdentifier: ownIdentifier(fields) ?? keyIdentifier(publicKey) };
}

/** What the certificate calls its own key, if it does. */
function ownIdentifier(fields: ReturnType<typeof elements>): Buffer | undefined {
  const wrapped = fields.find(({ tag }) => tag === explicit(3));
  const [list] = elements(wrapped?.content ?? Buffer.alloc(0));
  const wanted = objectId(ids.subjectKeyIdentifier);
  const parts = elements(list?.content ?? Buffer.alloc(0)).map(each => elements(each.content));
  const value = parts.find(([id]) => id?.whole.equals(wanted))?.at(-1);
  return elements(value?.content ?? Buffer.alloc(0))[0]?.content;
}

/** SHA-1 of the key's bits, as RFC 5280 proposes: a name, not a protection. */
function keyIdentifier(publicKey: Buffer): Buffer {
  const bits = elements(elements(publicKey)[0]?.content ?? Buffer.alloc(0))[1];
  return createHash('sha1')
    .update(bits?.content.subarray(1) ?? '')
    .digest();
}

function extension(id: string, value: Uint8Array, critical?: 'critical'): Buffer {
  return sequence(objectId(id), ...(critical ? [yes] : []), der(tags.octetString, value));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

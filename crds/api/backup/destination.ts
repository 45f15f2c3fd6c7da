/** Where backups go: buckets of an object store, one for all shards or one for each region. */
import { z } from 'zod';
import { objectName, regionName, text } from '../common.ts';
import { listAtomic, withRules } from '../rules.ts';

const secretName = z.object({
  secretName: objectName.describe('Name of the Secret, in the same namespace.'),
});

const secretKey = text({
  min: 1,
  max: 253,
  pattern: /^[A-Za-z0-9._-]+$/,
  message: 'must be a key of a Secret: letters, digits, -, _ and .',
});

const s3 = z.object({
  endpoint: text({
    min: 9,
    max: 512,
    pattern: /^https:\/\/[A-Za-z0-9.-]+(:[0-9]{1,5})?$/,
    message:
      'must be the URL of the object store with TLS and without a path, such as https://s3.example:9000',
  })
    .exactOptional()
    .describe('URL of the object store; that of Amazon S3 in the region if absent.'),
  bucket: text({
    min: 3,
    max: 63,
    pattern: /^[a-z0-9][a-z0-9.-]*[a-z0-9]$/,
    message: 'must be the name of a bucket: lower-case letters, digits, - and .',
  }).describe('The bucket.'),
  prefix: text({
    max: 512,
    pattern: /^([A-Za-z0-9_.-][A-Za-z0-9_./-]*)?$/,
    message: 'must be a path without a leading /, such as backups/social',
  })
    .default('')
    .describe('Path within it.'),
  region: text({
    min: 1,
    max: 63,
    pattern: /^[a-z0-9-]+$/,
    message: 'must be a region of the object store, such as eu-west-1',
  })
    .default('us-east-1')
    .describe('Region of the object store.'),
  credentials: secretName.describe('Secret with access-key-id and secret-access-key.'),
  ca: z
    .object({
      secretName: objectName.describe('Name of the Secret, in the same namespace.'),
      key: secretKey.default('ca.crt').describe('Its key with the certificates, as PEM.'),
    })
    .exactOptional()
    .describe('Who signed the certificate of the object store; the authorities of the system if absent.'),
});

const destination = z.object({
  region: regionName
    .exactOptional()
    .describe('Region whose shards use it; those of all other regions if absent.'),
  s3: s3.describe('A bucket.'),
  encryption: secretName
    .exactOptional()
    .describe('Secret with the passphrase that backups are encrypted with.'),
});

export const destinations = withRules(listAtomic(z.array(destination).min(1).max(32)), {
  rule: 'self.all(a, self.exists_one(b, (has(a.region) ? a.region : "") == (has(b.region) ? b.region : "")))',
  message: 'one destination for each region, and at most one without a region',
});

export type BackupDestination = z.infer<typeof destination>;

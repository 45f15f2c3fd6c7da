/** The objects of one bucket, for tests to look at, remove and damage. */
import { Agent } from 'node:https';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';

export interface BucketAccess {
  readonly endpoint: string;
  readonly ca: string;
  readonly bucket: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
  readonly modified: Date;
}

export class StoredObjects {
  readonly #client: S3Client;
  readonly #bucket: string;

  constructor(access: BucketAccess) {
    this.#bucket = access.bucket;
    this.#client = new S3Client({
      endpoint: access.endpoint,
      region: access.region,
      forcePathStyle: true,
      credentials: access.credentials,
      requestHandler: { httpsAgent: new Agent({ ca: access.ca, keepAlive: false }) },
    });
  }

  /** All objects below a prefix, by key. */
  async list(prefix = ''): Promise<readonly StoredObject[]> {
    const found: StoredObject[] = [];
    let token: string | undefined;
    do {
      const page = await this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: prefix,
          ...(token !== undefined && { ContinuationToken: token }),
        }),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? [])
        found.push({ key: Key ?? '', bytes: Size ?? 0, modified: LastModified ?? new Date(0) });
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return found;
  }

  async get(key: string): Promise<Uint8Array> {
    const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: key }));
    if (Body === undefined) throw new Error(`${key} has no content`);
    return Body.transformToByteArray();
  }

  async put(key: string, content: Uint8Array | string): Promise<void> {
    await this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: key, Body: content }));
  }

  async delete(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
  }

  /** Changes one bit in the middle of an object, which keeps its size and gets a fitting checksum of the store's own. */
  async corrupt(key: string): Promise<void> {
    const content = Uint8Array.from(await this.get(key));
    const middle = Math.floor(content.length / 2);
    content[middle] = (content[middle] ?? 0) ^ 1;
    await this.put(key, content);
  }
}

/** An object store that speaks S3, over TLS that is checked against the system's authorities or the given one. */
import { Agent } from 'node:https';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { StoreError } from '../errors.ts';
import type { ObjectStore } from './object-store.ts';

export interface S3Settings {
  readonly endpoint?: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** PEM. */
  readonly ca?: string;
}

const ATTEMPTS = 5;
const CONNECT_MS = 10_000;
/** A store that says nothing for so long is given up. */
const SILENCE_MS = 60_000;

export class S3Store implements ObjectStore, Disposable {
  readonly #client: S3Client;
  readonly #bucket: string;

  constructor(settings: S3Settings) {
    this.#bucket = settings.bucket;
    this.#client = new S3Client({
      region: settings.region,
      ...(settings.endpoint !== undefined && { endpoint: settings.endpoint, forcePathStyle: true }),
      credentials: { accessKeyId: settings.accessKeyId, secretAccessKey: settings.secretAccessKey },
      maxAttempts: ATTEMPTS,
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        socketTimeout: SILENCE_MS,
        httpsAgent: new Agent({ keepAlive: true, ...(settings.ca !== undefined && { ca: settings.ca }) }),
      },
    });
  }

  async put(key: string, body: Uint8Array, contentType: string): Promise<void> {
    await this.#ask(`write ${key}`, async () => {
      await this.#client.send(
        new PutObjectCommand({ Bucket: this.#bucket, Key: key, Body: body, ContentType: contentType }),
      );
    });
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.#ask(`read ${key}`, async () => {
      try {
        const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: key }));
        return await Body?.transformToByteArray();
      } catch (error) {
        if (error instanceof NoSuchKey) return undefined;
        throw error;
      }
    });
  }

  async list(prefix: string, what: 'objects' | 'folders' = 'objects'): Promise<readonly string[]> {
    return this.#ask(`list ${prefix}`, async () => {
      const found: string[] = [];
      let from: string | undefined;
      do {
        const page = await this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: prefix,
            ...(what === 'folders' && { Delimiter: '/' }),
            ...(from !== undefined && { ContinuationToken: from }),
          }),
        );
        const names =
          what === 'folders'
            ? page.CommonPrefixes?.map(({ Prefix }) => Prefix)
            : page.Contents?.map(({ Key }) => Key);
        found.push(...(names ?? []).filter(name => name !== undefined));
        from = page.NextContinuationToken;
      } while (from !== undefined);
      return found;
    });
  }

  async delete(key: string): Promise<void> {
    await this.#ask(`delete ${key}`, async () => {
      await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
    });
  }

  [Symbol.dispose](): void {
    this.#client.destroy();
  }

  async #ask<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const said = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
      throw new StoreError(`cannot ${what} in bucket ${this.#bucket}: ${said}`, { cause });
    }
  }
}

/** A file in the making: its content with its holes, and its digest. */
import { createHash, type Hash, hash } from 'node:crypto';
import { closeSync, constants, ftruncateSync, writeSync } from 'node:fs';

export const CREATE =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Zeros of this length and more become a hole. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);
const EMPTY_SHA256 = hash('sha256', '');

export class TreeFile {
  readonly fd: number;
  readonly #sizeBytes: number;
  #hash: Hash | undefined;
  #sha256: string | undefined;
  #hashedBytes = 0;
  /** The file's end so far: behind it is nothing, not even a hole. */
  #endBytes = 0;

  /** The file has nothing in it yet, and will have so many bytes. */
  constructor(fd: number, sizeBytes: number) {
    this.fd = fd;
    this.#sizeBytes = sizeBytes;
  }

  /** Writes at its place, behind everything written so far; long runs of zeros are left out, and become holes. */
  write(bytes: Buffer, offset: number): void {
    this.#addToHash(bytes, offset);
    let from = 0;
    let at = 0;
    while (bytes.length - at >= HOLE_BYTES) {
      if (bytes.compare(ZEROS, 0, HOLE_BYTES, at, at + HOLE_BYTES) === 0) {
        this.#writeAll(bytes, from, at, offset);
        from = at + HOLE_BYTES;
      }
      at += HOLE_BYTES;
    }
    this.#writeAll(bytes, from, bytes.length, offset);
  }

  /** Ends with the hole that may be there. Returns the sha256 of the content, holes as zeros. */
  finish(): string {
    if (this.#endBytes < this.#sizeBytes) ftruncateSync(this.fd, this.#sizeBytes);
    if (this.#sha256 !== undefined) return this.#sha256;
    if (this.#sizeBytes === 0) return EMPTY_SHA256;
    this.#hash ??= createHash('sha256');
    this.#hashZeros(this.#hash, this.#sizeBytes);
    return this.#hash.digest('hex');
  }

  close(): void {
    closeSync(this.fd);
  }

  #writeAll(bytes: Buffer, from: number, to: number, offset: number): void {
    let at = from;
    while (at < to) at += writeSync(this.fd, bytes, at, to - at, offset + at);
    if (to > from) this.#endBytes = offset + to;
  }

  #addToHash(bytes: Buffer, offset: number): void {
    if (offset === 0 && bytes.length === this.#sizeBytes) {
      this.#sha256 = hash('sha256', bytes);
      return;
    }
    this.#hash ??= createHash('sha256');
    this.#hashZeros(this.#hash, offset);
    this.#hash.update(bytes);
    this.#hashedBytes = offset + bytes.length;
  }

  /** Up to `toBytes`, which is behind a hole. */
  #hashZeros(digest: Hash, toBytes: number): void {
    while (this.#hashedBytes < toBytes) {
      const length = Math.min(HOLE_BYTES, toBytes - this.#hashedBytes);
      digest.update(ZEROS.subarray(0, length));
      this.#hashedBytes += length;
    }
  }
}

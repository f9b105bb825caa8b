/**
 * Works on a store and kills itself at a given point: `dying-child.ts WORK ROOT DIR POINT [ARCHIVE|ID|LAYOUT]`. Points are counted: each
 * call of the ZFS port has one before and one after it, and so have each piece of the archive and each look at where the blobs are. Exits with 0 when the
 * work is done before the point is reached.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';

import type { Layout } from '../../src/host/layout.ts';
import type { OciSource } from '../../src/fetch/source.ts';
import { destroyImage } from '../../src/image/destroy.ts';
import { getImage } from '../../src/image/get.ts';
import { importImage } from '../../src/image/import.ts';
import { verifyImage } from '../../src/image/verify.ts';
import type { DatasetName, Zfs } from '../../src/zfs/zfs.ts';
import { openStore } from './image-store.ts';
import { importLayout, layoutOf } from './import-layout.ts';
import { inPieces } from './tar.ts';

const [work = '', root = '', dir = '', point = '', subject = ''] = process.argv.slice(2);
let passed = 0;

function pass(what: string): void {
  passed += 1;
  if (passed < Number(point)) return;
  process.stderr.write(`killed ${what}\n`);
  process.kill(process.pid, 'SIGKILL');
}

/** Every method, with a point before and after it. */
function mortal(zfs: Zfs): Zfs {
  return new Proxy(zfs, {
    get(target, key) {
      const method: unknown = Reflect.get(target, key);
      if (typeof method !== 'function') return method;
      return async (...args: unknown[]) => {
        pass(`before ${String(key)}`);
        const result: unknown = await Reflect.apply(method, target, args);
        pass(`after ${String(key)}`);
        return result;
      };
    },
  });
}

async function* mortalPieces(archive: Buffer): AsyncGenerator<Buffer> {
  for await (const piece of inPieces(archive, Math.ceil(archive.length / 3))) {
    pass('before a piece');
    yield piece;
  }
}

/** Between the single steps with the files of blobs there is no port: but each of them asks for the folder. */
function mortalLayout(layout: Layout): Layout {
  const folders = new Proxy(layout.dir, {
    get(target, key) {
      if (key === 'blobs') pass('at the blobs');
      return Reflect.get(target, key) as unknown;
    },
  });
  return { ...layout, dir: folders };
}

function mortalBlobs(source: OciSource): OciSource {
  return {
    ...source,
    async openBlob(blob, options) {
      const stream = await source.openBlob(blob, options);
      async function* chunks(): AsyncGenerator<Uint8Array> {
        for await (const chunk of stream.chunks) {
          pass('before a piece');
          yield chunk;
        }
        pass('after a blob');
      }
      return { ...stream, chunks: chunks() };
    },
  };
}

const store = openStore(root as DatasetName, dir);
const ports = {
  ...store.ports,
  zfs: mortal(store.ports.zfs),
  layout: mortalLayout(store.ports.layout),
};
if (work === 'import') {
  await importImage(ports, {
    archive: { chunks: mortalPieces(readFileSync(subject)) },
    source: subject,
    trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
  });
} else if (work === 'import-layout') {
  await importLayout(ports, mortalBlobs(layoutOf(subject, 'two')), 'two');
} else if (work === 'destroy') {
  await destroyImage({ ...ports, usedBy: () => Promise.resolve([]) }, getImage(ports, subject));
} else if (work === 'verify') await verifyImage(ports, getImage(ports, subject));
else throw new Error(`unknown work ${work}`);

/** The registry client with a clock that does not wait, and folders of the test. */
import type { FetchPorts } from '../../src/fetch/ports.ts';
import { createRegistries, type Registries } from '../../src/fetch/registry/registries.ts';
import type { BlobSink } from '../../src/fetch/sink.ts';
import type { Timeouts } from '../../src/fetch/registry/transport.ts';

export interface TestClient {
  readonly registries: Registries;
  readonly ports: FetchPorts;
  /** How long it wanted to wait, each time. */
  readonly waitsMs: number[];
  readonly warnings: string[];
}

export function testClient(
  over: Partial<FetchPorts> & { readonly timeouts?: Partial<Timeouts> } = {},
): TestClient {
  const waitsMs: number[] = [];
  const warnings: string[] = [];
  const { timeouts, ...more } = over;
  const ports: FetchPorts = {
    run: (argv) => {
      throw new Error(`no program was to be started: ${argv[0]}`);
    },
    timing: {
      nowMs: () => Date.now(),
      sleep: (ms, signal) => {
        waitsMs.push(ms);
        signal?.throwIfAborted();
        return Promise.resolve();
      },
      random: () => 0.5,
    },
    environment: {},
    homeDir: undefined,
    folders: { registries: [], auth: [], certs: [] },
    helperFolders: [],
    userAgent: 'jetpack/test',
    warn: (message) => warnings.push(message),
    ...more,
  };
  return { registries: createRegistries(ports, { timeouts }), ports, waitsMs, warnings };
}

/** A sink in memory. */
export class MemorySink implements BlobSink {
  #chunks: Uint8Array[] = [];
  restarts = 0;

  constructor(there: Uint8Array = new Uint8Array()) {
    if (there.length > 0) this.#chunks.push(there);
  }

  get bytesSoFar(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  async *read(): AsyncIterable<Uint8Array> {
    yield* [await Promise.resolve(this.bytes)];
  }

  write(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(chunk);
    return Promise.resolve();
  }

  restart(): Promise<void> {
    this.#chunks = [];
    this.restarts += 1;
    return Promise.resolve();
  }
}

/**
 * The way to registries: everything that pulls or pushes starts here. Configuration, credentials and certificates are read
 * when they are needed first, and once.
 */
import { createCredentials, type Credentials } from '../auth/credentials.ts';
import { type DockerRef, renderDockerRef } from '../docker-ref.ts';
import { createHttp, type Http } from './http.ts';
import type { FetchPorts } from '../ports.ts';
import { createRegistrySource } from './registry-source.ts';
import { type Endpoint, readRegistrySettings, type RegistrySettings } from './registry-settings.ts';
import { createRepository, type Repository } from './repository.ts';
import type { RegistrySource } from '../source.ts';
import { createTlsReader } from './tls-material.ts';
import { createTransport, type Timeouts } from './transport.ts';

export interface Registries {
  /** Nothing is asked yet. Close it when it is done. Throws HostError CONFIG_INVALID. */
  openSource(ref: DockerRef): RegistrySource;
  /** The registry itself, never a mirror: where a push goes. */
  openTarget(ref: DockerRef): Target;
}

export interface Target {
  /** `docker://…` */
  readonly name: string;
  readonly ref: DockerRef;
  readonly repository: Repository;
  readonly http: Http;
  close(): Promise<void>;
}

export interface RegistriesOptions {
  readonly timeouts?: Partial<Timeouts> | undefined;
}

export function createRegistries(ports: FetchPorts, options: RegistriesOptions = {}): Registries {
  const { timing } = ports;
  const nowMs = timing.nowMs;
  const readTls = createTlsReader(ports.folders.certs);
  const credentials: Credentials = createCredentials(ports);
  let settings: RegistrySettings | undefined;
  const getSettings = () => (settings ??= readRegistrySettings(ports.folders.registries));

  /** Connections of its own: whoever opened them closes them. */
  const openSession = () => {
    const known = getSettings();
    const transport = createTransport({
      environment: ports.environment,
      userAgent: ports.userAgent,
      tlsFor: (host) => readTls(host, known.find(host) ?? {}),
      nowMs,
      timeouts: options.timeouts,
    });
    const http = createHttp({ transport, timing, isPlainHttpAllowed: known.isPlainHttpAllowed });
    const repositoryAt = (endpoint: Endpoint, { registry, repository }: DockerRef) =>
      createRepository({ endpoint, registry, repository, http, credentials, nowMs });
    return { known, http, repositoryAt, close: () => transport.close() };
  };

  return {
    openSource(ref) {
      const { known, http, repositoryAt, close } = openSession();
      const repositories = known
        .endpointsOf(ref.registry)
        .map((endpoint) => repositoryAt(endpoint, ref));
      return createRegistrySource({ ref, repositories, http, warn: ports.warn, close });
    },
    openTarget(ref) {
      const { known, http, repositoryAt, close } = openSession();
      const own = known.endpointsOf(ref.registry).find((endpoint) => !endpoint.isMirror);
      if (own === undefined) throw new Error('a registry is always an endpoint of its own');
      return {
        name: `docker://${renderDockerRef(ref)}`,
        ref,
        repository: repositoryAt(own, ref),
        http,
        close,
      };
    },
  };
}

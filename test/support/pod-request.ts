/** Requests for pods in which only what matters to a test is said. */
import type { AppRequest, PodRequest } from '../../src/pod/compose.ts';
import type { NameService } from '../../src/pod/host-files.ts';
import type { PodImage } from '../../src/pod/reify.ts';

export function appRequest(image: PodImage, more: Partial<AppRequest> = {}): AppRequest {
  return {
    image,
    name: undefined,
    args: undefined,
    exec: undefined,
    user: undefined,
    group: undefined,
    supplementaryGids: undefined,
    workingDir: undefined,
    environment: [],
    mounts: [],
    readOnlyRootfs: undefined,
    annotations: [],
    userAnnotations: {},
    userLabels: {},
    ...more,
  };
}

export function podRequest(
  apps: readonly AppRequest[],
  more: Partial<PodRequest> = {},
): PodRequest {
  return {
    apps,
    volumes: [],
    inheritedEnvironment: [],
    environment: [],
    ports: [],
    annotations: [],
    userAnnotations: {},
    userLabels: {},
    ...more,
  };
}

export const NO_NAMES_ASKED: NameService = { resolver: undefined, hosts: undefined };

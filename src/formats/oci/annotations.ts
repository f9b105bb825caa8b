/** Names of the annotations that an image manifest made from an OCI image has. */

/** Those of appc's own converter of Docker images; their prefix marks an image as one of Docker. */
export const DOCKER = {
  /** The command of the image, in its two parts, as lists in JSON. */
  entrypoint: 'appc.io/docker/entrypoint',
  cmd: 'appc.io/docker/cmd',
  /** The digest of the configuration: what Docker calls the id of the image. */
  imageId: 'appc.io/docker/imageid',
  registry: 'appc.io/docker/registryurl',
  repository: 'appc.io/docker/repository',
  tag: 'appc.io/docker/tag',
  originalName: 'appc.io/docker/originalname',
} as const;

/** What an OCI configuration says and appc cannot. Values are JSON, but for the digest. */
export const OCI = {
  configDigest: 'jetpack/oci/config-digest',
  /** Of the uncompressed layers: with them the manifest, and so the image id, commits to every byte. */
  diffIds: 'jetpack/oci/diff-ids',
  history: 'jetpack/oci/history',
  osVersion: 'jetpack/oci/os-version',
  osFeatures: 'jetpack/oci/os-features',
  healthcheck: 'jetpack/oci/healthcheck',
  shell: 'jetpack/oci/shell',
  onBuild: 'jetpack/oci/on-build',
  argsEscaped: 'jetpack/oci/args-escaped',
  stopTimeout: 'jetpack/oci/stop-timeout',
  /** Fields that are not known, of the configuration as a whole and of its `config`. */
  unknown: 'jetpack/oci/unknown',
  unknownConfig: 'jetpack/oci/unknown-config',
  // The originals of what has a field in appc, where that field alone does not lead back to them.
  created: 'jetpack/oci/created',
  platform: 'jetpack/oci/platform',
  user: 'jetpack/oci/user',
  env: 'jetpack/oci/env',
  exposedPorts: 'jetpack/oci/exposed-ports',
  volumes: 'jetpack/oci/volumes',
  workingDir: 'jetpack/oci/working-dir',
  stopSignal: 'jetpack/oci/stop-signal',
} as const;

/** What pods read in the annotations of their images. */
export const JETPACK = {
  stopSignal: 'jetpack/stop-signal',
  /** `true`: the group is the user's own in the image's /etc/passwd, and `app.group` is for who does not know this annotation. */
  ownGroup: 'jetpack/own-group',
} as const;

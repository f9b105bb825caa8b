/** Files about registries: how one is reached, and who we are there. Ours are strict; those of other programs are not. */
import * as z from 'zod/mini';

const Text = z.string().check(z.minLength(1, 'must not be empty'));

/** `example.com`, `example.com:5000`, `[::1]:5000`, perhaps with the beginning of a name behind it. */
const RegistryName = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z0-9.[\]:-]+(?:\/[a-z0-9._/-]+)?$/,
      'must be a host, with its port where it has one: example.com:5000',
    ),
  );

const MirrorUrl = z
  .string()
  .check(
    z.regex(
      /^https?:\/\/[A-Za-z0-9.[\]:-]+(?:\/[a-z0-9._/-]*)?$/,
      'must be the URL of a registry: https://mirror.example.com or http://10.0.0.5:5000',
    ),
  );

const FileName = z.string().check(z.regex(/^\/[^\0]+$/, 'must be the absolute path of a file'));

/** `registries.d/*.json` */
export const RegistryFile = z.strictObject({
  jetpackKind: z.literal('registry'),
  jetpackVersion: z.literal('v1'),
  registry: z
    .string()
    .check(
      z.regex(
        /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/,
        'must be a host, with its port where it has one: example.com:5000',
      ),
    ),
  mirrors: z.optional(z.array(MirrorUrl)),
  plainHttp: z.optional(z.boolean()),
  insecureTls: z.optional(z.boolean()),
  ca: z.optional(FileName),
  cert: z.optional(FileName),
  key: z.optional(FileName),
});
export type RegistryFile = z.infer<typeof RegistryFile>;

const UserAndPassword = z.strictObject({ user: Text, password: z.string() });

/** `auth.d/*.json` for registries: rkt's kind dockerAuth. */
export const DockerAuthFile = z.strictObject({
  kind: z.literal('dockerAuth'),
  version: z.literal('v1'),
  registries: z.array(RegistryName).check(z.minLength(1, 'must name a registry')),
  credentials: UserAndPassword,
});
export type DockerAuthFile = z.infer<typeof DockerAuthFile>;

const Domains = z.array(Text).check(z.minLength(1, 'must name a domain'));

/** `auth.d/*.json` for downloads over https: rkt's kind auth, with user and password. */
export const BasicAuthFile = z.strictObject({
  kind: z.literal('auth'),
  version: z.literal('v1'),
  domains: Domains,
  type: z.literal('basic'),
  credentials: UserAndPassword,
});
export type BasicAuthFile = z.infer<typeof BasicAuthFile>;

/** The same with a token. */
export const OauthAuthFile = z.strictObject({
  kind: z.literal('auth'),
  version: z.literal('v1'),
  domains: Domains,
  type: z.literal('oauth'),
  credentials: z.strictObject({ token: Text }),
});
export type OauthAuthFile = z.infer<typeof OauthAuthFile>;

const AuthEntry = z.looseObject({
  auth: z.optional(z.string()),
  username: z.optional(z.string()),
  password: z.optional(z.string()),
  identitytoken: z.optional(z.string()),
});
export type AuthEntry = z.infer<typeof AuthEntry>;

/** `config.json` of Docker, `auth.json` of containers-auth.json(5). */
export const DockerConfigFile = z.looseObject({
  auths: z.optional(z.record(z.string(), z.nullable(AuthEntry))),
  credHelpers: z.optional(z.record(z.string(), z.string())),
  credsStore: z.optional(z.string()),
});
export type DockerConfigFile = z.infer<typeof DockerConfigFile>;

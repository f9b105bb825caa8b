/**
 * The types that appc's image and pod manifests share (spec/types.md and spec/ace.md of App Container 0.8.11).
 * What is read is judged by the charset and the edges of a name alone, as the schema library of appc does ("a--b" passes);
 * what is written must obey the specification to the letter: `parse…(input, { strict: true })`.
 * Unknown fields are kept. A known field that is null counts as absent, because Go writes empty lists so.
 */
import * as z from 'zod/mini';

import { ManifestError, type ManifestProblem } from '../errors.ts';

// Names and ids

const STRICT_NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const STRICT_IDENTIFIER = /^[a-z0-9]+([-._~/][a-z0-9]+)*$/;
const LAX_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const LAX_IDENTIFIER = /^[a-z0-9]([a-z0-9._~/-]*[a-z0-9])?$/;

export const AcName = z
  .string()
  .check(z.regex(LAX_NAME, 'must be lower-case letters, digits and inner "-" only'))
  .brand<'AcName'>();
export type AcName = z.infer<typeof AcName>;

export const AcIdentifier = z
  .string()
  .check(z.regex(LAX_IDENTIFIER, 'must be lower-case letters, digits and inner "-._~/" only'))
  .brand<'AcIdentifier'>();
export type AcIdentifier = z.infer<typeof AcIdentifier>;

/** An AC Name of at most 63 bytes: the name of an app is a folder, a dataset and a field of the plan. */
export const AppName = z
  .string()
  .check(
    z.regex(LAX_NAME, 'must be lower-case letters, digits and inner "-" only'),
    z.maxLength(63, 'must have at most 63 characters'),
  )
  .brand<'AppName'>();
export type AppName = z.infer<typeof AppName>;

export const ImageId = z
  .string()
  .check(z.regex(/^sha512-[0-9a-f]{128}$/, 'must be "sha512-" and 128 lower-case hex digits'))
  .brand<'ImageId'>();
export type ImageId = z.infer<typeof ImageId>;

export const PodUuid = z
  .string()
  .check(
    z.regex(
      /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
      'must be a lower-case UUID',
    ),
  )
  .brand<'PodUuid'>();
export type PodUuid = z.infer<typeof PodUuid>;

export function isStrictName(text: string): boolean {
  return STRICT_NAME.test(text);
}

export function isStrictIdentifier(text: string): boolean {
  return STRICT_IDENTIFIER.test(text);
}

// Building blocks

type Aliases = Readonly<Record<string, string>>;

/** Takes null out of known fields, and gives fields of another spelling their name. */
function tidyBy(known: ReadonlySet<string>, aliases: Aliases) {
  return z.transform((value: unknown): unknown => {
    if (!isRecord(value)) return value;
    const entries: [string, unknown][] = [];
    for (const [key, field] of Object.entries(value)) {
      if (field === null && known.has(key)) continue;
      const name = Object.hasOwn(aliases, key) ? aliases[key] : undefined;
      if (name !== undefined && Object.hasOwn(value, name)) continue;
      entries.push([name ?? key, field]);
    }
    return Object.fromEntries(entries);
  });
}

/** An object of appc: unknown fields stay, null in a known field is no field. `aliases` are other spellings of a field. */
export function appcObject<Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
  aliases: Aliases = {},
) {
  const known = new Set([...Object.keys(shape), ...Object.keys(aliases)]);
  return z.pipe(tidyBy(known, aliases), z.looseObject(shape));
}

/** An object of one of two kinds, told apart by the field `kind`. */
export function appcKinds<
  One extends z.core.$ZodTypeDiscriminable,
  Two extends z.core.$ZodTypeDiscriminable,
>(one: One, two: Two, fields: readonly string[], message: string) {
  return z.pipe(
    tidyBy(new Set(fields), {}),
    z.discriminatedUnion('kind', [one, two], {
      error: ({ input }) => (isRecord(input) ? message : 'must be an object'),
    }),
  );
}

/** A check that no two items of a list have the same key. */
export function uniqueBy<T>(what: string, keyOf: (item: T) => string) {
  return z.superRefine<readonly T[]>((items, context) => {
    const seen = new Set<string>();
    for (const [index, item] of items.entries()) {
      const key = keyOf(item);
      if (seen.has(key)) {
        context.addIssue({
          code: 'custom',
          message: `${what} ${JSON.stringify(key)} is there twice`,
          path: [index],
          input: item,
        });
      }
      seen.add(key);
    }
  });
}

/** Text that can be handed to execve(2), open(2) and the like. */
export const ArgumentText = z
  .string()
  .check(z.refine((text) => !text.includes('\0'), 'must not contain a NUL byte'));

export const AbsolutePath = ArgumentText.check(
  z.refine((text) => text.startsWith('/'), 'must be an absolute path'),
);

export const AcVersion = z.string().check(
  z.regex(
    /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/,
    'must be a version like 0.8.11',
  ),
  z.refine(
    (text) => !/^[1-9]\d*\.\d+\.\d/.test(text),
    'is of another major version than 0, the one that is understood',
  ),
);

export const Label = appcObject({ name: AcIdentifier, value: z.string() });
export type Label = z.infer<typeof Label>;

export const Labels = z
  .array(Label)
  .check(uniqueBy('the label', (label) => label.name))
  .check(
    z.superRefine<readonly Label[]>((labels, context) => {
      const index = labels.findIndex((label) => label.name === 'name');
      if (index < 0) return;
      context.addIssue({
        code: 'custom',
        message: 'no label may be called "name"',
        path: [index, 'name'],
        input: 'name',
      });
    }),
  );

export const Annotation = appcObject({ name: AcIdentifier, value: z.string() }).check(
  z.superRefine((annotation, context) => {
    const fault = annotationFault(annotation.name, annotation.value);
    if (fault === undefined) return;
    context.addIssue({ code: 'custom', message: fault, path: ['value'], input: annotation.value });
  }),
);
export type Annotation = z.infer<typeof Annotation>;

export const Annotations = z
  .array(Annotation)
  .check(uniqueBy('the annotation', (annotation) => annotation.name));

/** Text to text, without any meaning to the runtime. */
export const UserTexts = z.record(z.string(), z.string());

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

function annotationFault(name: string, value: string): string | undefined {
  switch (name) {
    case 'created':
      return RFC3339.test(value) && !Number.isNaN(Date.parse(value))
        ? undefined
        : 'must be a time of RFC 3339, like 2016-02-24T13:01:31Z';
    case 'homepage':
    case 'documentation':
      return /^https?:\/\/[^\s]+$/.test(value) && URL.canParse(value)
        ? undefined
        : 'must be an http or https URL';
    case 'appc.io/executor/supports-systemd-notify':
      return value === 'true' || value === 'false' ? undefined : 'must be "true" or "false"';
    default:
      return undefined;
  }
}

// The app

export const EnvironmentVariable = appcObject({
  name: z
    .string()
    .check(
      z.regex(
        /^[A-Za-z_][A-Za-z_0-9.-]*$/,
        'must begin with a letter or "_" and go on with letters, digits, "_", "." and "-"',
      ),
    ),
  value: ArgumentText,
});
export type EnvironmentVariable = z.infer<typeof EnvironmentVariable>;

export const MountPoint = appcObject({
  name: AcName,
  path: AbsolutePath,
  readOnly: z.optional(z.boolean()),
});
export type MountPoint = z.infer<typeof MountPoint>;

const portNumber = z.int().check(z.minimum(1), z.maximum(65535));

export const Port = appcObject({
  name: AcName,
  protocol: z.string().check(z.minLength(1)),
  port: portNumber,
  // Go writes 0 for a count that nobody gave, and reads it as 1.
  count: z.optional(
    z.pipe(
      z.int().check(z.minimum(0)),
      z.transform((count) => (count === 0 ? 1 : count)),
    ),
  ),
  socketActivated: z.optional(z.boolean()),
}).check(
  z.superRefine((port, context) => {
    if (port.port + (port.count ?? 1) <= 65536) return;
    context.addIssue({
      code: 'custom',
      message: `${String(port.count)} ports from ${String(port.port)} on go beyond 65535`,
      path: ['count'],
      input: port.count,
    });
  }),
);
export type Port = z.infer<typeof Port>;

const Exec = z.array(ArgumentText);

export const EventHandler = appcObject({
  name: z.enum(['pre-start', 'post-stop']),
  exec: Exec.check(z.minLength(1, 'must have a program')),
});
export type EventHandler = z.infer<typeof EventHandler>;

export const Isolator = appcObject({ name: AcIdentifier, value: z.optional(z.unknown()) });
export type Isolator = z.infer<typeof Isolator>;

const GroupId = z.int().check(z.minimum(0), z.maximum(0xfffffffe));

export const App = appcObject(
  {
    exec: z.optional(Exec),
    user: ArgumentText.check(z.minLength(1, 'must not be empty')),
    group: ArgumentText.check(z.minLength(1, 'must not be empty')),
    supplementaryGIDs: z.optional(z.array(GroupId)),
    eventHandlers: z.optional(
      z.array(EventHandler).check(uniqueBy('the event handler', (handler) => handler.name)),
    ),
    workingDirectory: z.optional(
      ArgumentText.check(
        z.refine((text) => text === '' || text.startsWith('/'), 'must be an absolute path'),
      ),
    ),
    environment: z.optional(
      z.array(EnvironmentVariable).check(uniqueBy('the variable', (variable) => variable.name)),
    ),
    mountPoints: z.optional(
      z.array(MountPoint).check(uniqueBy('the mount point', (mountPoint) => mountPoint.name)),
    ),
    ports: z.optional(z.array(Port).check(uniqueBy('the port', (port) => port.name))),
    isolators: z.optional(z.array(Isolator).check(checkIsolators('app'))),
    userAnnotations: z.optional(UserTexts),
    userLabels: z.optional(UserTexts),
  },
  // The example in the specification spells it so, its prose the other way.
  { supplementaryGids: 'supplementaryGIDs' },
);
export type App = z.infer<typeof App>;

// Quantities

/** An exact amount: numerator / denominator. */
export interface Quantity {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

const QUANTITY_UNITS: Readonly<Record<string, Quantity>> = {
  '': { numerator: 1n, denominator: 1n },
  m: { numerator: 1n, denominator: 1000n },
  k: { numerator: 1000n, denominator: 1n },
  K: { numerator: 1000n, denominator: 1n },
  M: { numerator: 1000n ** 2n, denominator: 1n },
  G: { numerator: 1000n ** 3n, denominator: 1n },
  T: { numerator: 1000n ** 4n, denominator: 1n },
  P: { numerator: 1000n ** 5n, denominator: 1n },
  E: { numerator: 1000n ** 6n, denominator: 1n },
  Ki: { numerator: 1024n, denominator: 1n },
  Mi: { numerator: 1024n ** 2n, denominator: 1n },
  Gi: { numerator: 1024n ** 3n, denominator: 1n },
  Ti: { numerator: 1024n ** 4n, denominator: 1n },
  Pi: { numerator: 1024n ** 5n, denominator: 1n },
  Ei: { numerator: 1024n ** 6n, denominator: 1n },
};

/** `2`, `0.3`, `300m`, `1.5G`, `512Mi`. Undefined for anything else. A JSON number is as good as its text. */
export function parseQuantity(input: string | number): Quantity | undefined {
  const match = /^\+?(\d{1,40})(?:\.(\d{1,40}))?([A-Za-z]{0,2})$/.exec(String(input));
  if (match === null) return undefined;
  const [, whole = '', fraction = '', suffix = ''] = match;
  const unit = Object.hasOwn(QUANTITY_UNITS, suffix) ? QUANTITY_UNITS[suffix] : undefined;
  if (unit === undefined) return undefined;
  return {
    numerator: BigInt(whole + fraction) * unit.numerator,
    denominator: 10n ** BigInt(fraction.length) * unit.denominator,
  };
}

/** The amount times `factor`, rounded up: bytes of memory with 1, thousandths of a processor with 1000. */
export function amountOf(quantity: Quantity, factor = 1): number {
  const numerator = quantity.numerator * BigInt(factor);
  return Number((numerator + quantity.denominator - 1n) / quantity.denominator);
}

export const Quantity = z.pipe(
  z.union([z.string(), z.number()]),
  z.transform((input: string | number, context): Quantity => {
    const quantity = parseQuantity(input);
    if (quantity !== undefined) return quantity;
    context.issues.push({
      code: 'custom',
      message: 'must be an amount like 2, 0.3, 300m, 1G or 512Mi',
      input,
    });
    return z.NEVER;
  }),
);

// Isolators

const fromTheStart = z.optional(z.literal(false, 'must be false or absent'));

const RequestAndLimit = z
  .looseObject({
    default: fromTheStart,
    request: z.optional(Quantity),
    limit: z.optional(Quantity),
  })
  .check(
    z.refine(
      (value) => value.limit !== undefined || value.request !== undefined,
      'must have a limit or a request',
    ),
    z.refine(
      ({ limit, request }) =>
        limit === undefined ||
        request === undefined ||
        request.numerator * limit.denominator <= limit.numerator * request.denominator,
      'its request is above its limit',
    ),
  );

const DefaultLimit = z.looseObject({
  default: z.literal(true, 'must be true'),
  request: z.optional(z.undefined('must be absent')),
  limit: Quantity,
});

const NameSet = z
  .array(z.string().check(z.minLength(1)))
  .check(z.minLength(1, 'must not be empty'));

const CapabilitySet = z.looseObject({
  set: z
    .array(z.string().check(z.regex(/^[A-Za-z_]+\d?$/, 'must be the name of a capability')))
    .check(z.minLength(1, 'must not be empty')),
});

const SeccompSet = z.looseObject({
  set: NameSet,
  errno: z.optional(z.string().check(z.regex(/^E[A-Z0-9]*$/, 'must be the name of an errno'))),
});

const SelinuxContext = z.looseObject({
  user: z.string(),
  role: z.string(),
  type: z.string(),
  level: z.string(),
});

/** Every isolator that is understood, by name: the shape of its value. */
export const ISOLATOR_VALUES = {
  'resource/cpu': RequestAndLimit,
  'resource/memory': RequestAndLimit,
  'resource/block-bandwidth': DefaultLimit,
  'resource/block-iops': DefaultLimit,
  'resource/network-bandwidth': DefaultLimit,
  'os/linux/capabilities-retain-set': CapabilitySet,
  'os/linux/capabilities-remove-set': CapabilitySet,
  'os/linux/seccomp-retain-set': SeccompSet,
  'os/linux/seccomp-remove-set': SeccompSet,
  'os/linux/no-new-privileges': z.boolean(),
  'os/linux/selinux-context': SelinuxContext,
  'os/linux/apparmor-profile': z.looseObject({ profile: z.string().check(z.minLength(1)) }),
  'os/linux/oom-score-adj': z.int().check(z.minimum(-1000), z.maximum(1000)),
  'os/linux/cpu-shares': z.int().check(z.minimum(2), z.maximum(262144)),
  'os/unix/sysctl': z.record(z.string().check(z.minLength(1)), ArgumentText),
  // Our own: appc has none for these.
  'jetpack/disk-quota': z.looseObject({ limit: Quantity }),
  'jetpack/pids-max': z.looseObject({ limit: z.int().check(z.minimum(1)) }),
} as const;

export type IsolatorName = keyof typeof ISOLATOR_VALUES;
export type IsolatorValue<N extends IsolatorName> = z.infer<(typeof ISOLATOR_VALUES)[N]>;
export type IsolatorScope = 'app' | 'pod';

const APP_ONLY: ReadonlySet<string> = new Set<IsolatorName>([
  'os/linux/capabilities-retain-set',
  'os/linux/capabilities-remove-set',
  'os/linux/seccomp-retain-set',
  'os/linux/seccomp-remove-set',
  'os/linux/no-new-privileges',
  'os/linux/oom-score-adj',
  'os/linux/cpu-shares',
  'jetpack/disk-quota',
]);
const POD_ONLY: ReadonlySet<string> = new Set<IsolatorName>(['os/unix/sysctl']);
/** Of these only one may stand in a list: they say the same thing in two ways. */
export const EXCLUSIVE: readonly (readonly [IsolatorName, IsolatorName])[] = [
  ['os/linux/capabilities-retain-set', 'os/linux/capabilities-remove-set'],
  ['os/linux/seccomp-retain-set', 'os/linux/seccomp-remove-set'],
];

export function isIsolatorName(name: string): name is IsolatorName {
  return Object.hasOwn(ISOLATOR_VALUES, name);
}

/**
 * A check of a list of isolators: values of the known ones, none of them twice or in the wrong place, and none that exclude
 * each other. A function declaration, since `App` above needs it while this module is still being read.
 */
export function checkIsolators(scope: IsolatorScope) {
  return z.superRefine<readonly Isolator[]>((isolators, context) => {
    const seen = new Set<string>();
    const fault = (index: number, message: string, path: PropertyKey[] = ['name']): void => {
      context.addIssue({
        code: 'custom',
        message,
        path: [index, ...path],
        input: isolators[index],
      });
    };
    for (const [index, isolator] of isolators.entries()) {
      const name: string = isolator.name;
      if (!isIsolatorName(name)) continue;
      if (seen.has(name)) fault(index, `the isolator ${name} is there twice`);
      seen.add(name);
      if (scope === 'app' && POD_ONLY.has(name)) fault(index, `${name} is for pods, not for apps`);
      if (scope === 'pod' && APP_ONLY.has(name)) fault(index, `${name} is for apps, not for pods`);
      for (const pair of EXCLUSIVE) {
        const other = pair.find((member) => member !== name);
        if (pair.includes(name) && other !== undefined && seen.has(other)) {
          fault(index, `${name} and ${other} exclude each other`);
        }
      }
      for (const problem of problemsWith(ISOLATOR_VALUES[name], isolator.value)) {
        fault(index, problem.message, ['value', ...problem.path]);
      }
    }
  });
}

/** The value of an isolator, parsed; undefined when it is not in the list. The list must have been checked before. */
export function findIsolator<N extends IsolatorName>(
  isolators: readonly Isolator[] | undefined,
  name: N,
): IsolatorValue<N> | undefined {
  const isolator = isolators?.find((candidate): boolean => String(candidate.name) === name);
  if (isolator === undefined) return undefined;
  // The compiler cannot relate the value's type to the key of the table.
  return z.parse(ISOLATOR_VALUES[name], isolator.value) as IsolatorValue<N>;
}

// Parsing

export interface ParseOptions {
  /** Names must obey the specification to the letter: for what is written. */
  readonly strict?: boolean;
}

/** Deeper than anybody writes; what writes it out again goes down by calling itself. */
const MAX_DEPTH = 500;

/** Whether brackets are nested too deeply; those in strings do not count. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i];
    if (character === '"') inString = !inString;
    else if (inString) i += character === '\\' ? 1 : 0;
    else if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

/** A document as text or as a value already; ManifestError where the text is no JSON. */
export function readJson(what: string, input: unknown): unknown {
  const text = input instanceof Uint8Array ? decodeUtf8(what, input) : input;
  if (typeof text !== 'string') return text;
  if (isTooDeep(text)) {
    const message = `it is nested more than ${String(MAX_DEPTH)} deep`;
    throw new ManifestError(what, [{ path: '', message }]);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ManifestError(what, [{ path: '', message: `it is not JSON: ${reason}` }], { cause });
  }
}

function decodeUtf8(what: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ManifestError(what, [{ path: '', message: 'it is not UTF-8' }], { cause });
  }
}

/** Parses by a schema; every fault found is in the ManifestError. `what` begins its message. */
export function parseBySchema<Schema extends z.ZodMiniType>(
  schema: Schema,
  what: string,
  input: unknown,
): z.infer<Schema> {
  const value = readJson(what, input);
  const result = z.safeParse(schema, value, { reportInput: true });
  if (result.success) return result.data;
  throw new ManifestError(
    what,
    result.error.issues.map((issue) => ({
      path: renderPath(issue.path),
      message: messageOf(issue),
    })),
  );
}

function problemsWith(schema: z.ZodMiniType, value: unknown) {
  const result = z.safeParse(schema, value, { reportInput: true });
  if (result.success) return [];
  return result.error.issues.map((issue) => ({ path: issue.path, message: messageOf(issue) }));
}

/** `['app', 'mountPoints', 1, 'name']` → `app.mountPoints[1].name`. */
export function renderPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${String(part)}]`;
    else if (typeof part === 'string' && /^[A-Za-z_][A-Za-z_0-9]*$/.test(part)) {
      text += text === '' ? part : `.${part}`;
    } else text += `[${JSON.stringify(String(part))}]`;
  }
  return text;
}

const ARTICLES: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'an object',
  record: 'an object',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.message !== 'Invalid input') return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'is missing';
      return `must be ${ARTICLES[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      if (issue.input === undefined) return 'is missing';
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `must be at least ${String(issue.minimum)}`
        : 'must not be empty';
    case 'too_big':
      return `must be at most ${String(issue.maximum)}`;
    case 'invalid_union':
      return issue.input === undefined ? 'is missing' : 'has the wrong type';
    case 'custom':
    case 'invalid_element':
    case 'invalid_format':
    case 'invalid_key':
    case 'not_multiple_of':
      return 'is not valid';
    case 'unrecognized_keys':
      return `has the unknown field ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`;
  }
}

/** A name that the specification would not allow: a warning when read, a fault when written. */
export function laxNameProblems(
  names: readonly {
    readonly path: PropertyKey[];
    readonly name: string;
    readonly kind: 'name' | 'identifier';
  }[],
): readonly ManifestProblem[] {
  return names
    .filter(({ name, kind }) => !(kind === 'name' ? isStrictName(name) : isStrictIdentifier(name)))
    .map(({ path, name }) => ({
      path: renderPath(path),
      message: `${JSON.stringify(name)} has separators side by side, which appc does not allow`,
    }));
}

/** Names and unknown isolators within an app object. */
export function appWarnings(
  app: App,
  at: readonly PropertyKey[],
): { readonly lax: readonly ManifestProblem[]; readonly other: readonly ManifestProblem[] } {
  const named = (field: 'mountPoints' | 'ports') =>
    (app[field] ?? []).map((item, index) => ({
      path: [...at, field, index, 'name'],
      name: item.name,
      kind: 'name' as const,
    }));
  return {
    lax: laxNameProblems([...named('mountPoints'), ...named('ports')]),
    other: isolatorWarnings(app.isolators, [...at, 'isolators']),
  };
}

export function isolatorWarnings(
  isolators: readonly Isolator[] | undefined,
  at: readonly PropertyKey[],
): readonly ManifestProblem[] {
  return (isolators ?? []).flatMap(({ name }, index) =>
    isIsolatorName(name)
      ? []
      : [
          {
            path: renderPath([...at, index]),
            message: `the isolator ${name} is not known and will be ignored`,
          },
        ],
  );
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What went wrong on the way or was answered, as errors of ours. Pure. */
import { errnoOf, FetchError } from '../../errors.ts';
import { quote } from './quote.ts';

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the connection was cut',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be resolved now',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to its network',
  ENETDOWN: 'the network is down',
  EADDRNOTAVAIL: 'there is no address to connect from',
};

const TIMEOUTS: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  ETIMEDOUT: 'no connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  UND_ERR_BODY_TIMEOUT: 'nothing more came in time',
};

/** Its own errors, those of the one that several attempts (IPv4, IPv6) end in, and those behind them. */
function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const inner = error instanceof AggregateError ? error.errors.flatMap(codesOf) : [];
  return [errnoOf(error), ...inner, ...codesOf(error.cause)].filter((code) => code !== undefined);
}

const NOT_TLS = /wrong version number|packet length too long|http request|unknown protocol/i;

/** Whether what is there speaks something, but not TLS. */
export function isNotTls(error: unknown): boolean {
  return error instanceof Error && (NOT_TLS.test(error.message) || isNotTls(error.cause));
}

function isTlsCode(code: string): boolean {
  return /^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO|UND_ERR_PRX_TLS|INVALID_CA|INVALID_PURPOSE)/.test(
    code,
  );
}

function tlsFailure(who: string, host: string, codes: readonly string[], cause: unknown) {
  if (isNotTls(cause)) {
    return new FetchError('FETCH_TLS', `${who}: ${host} does not speak TLS`, {
      cause,
      remedies: ['a registry without TLS: "plainHttp": true in /etc/jetpack/registries.d/*.json'],
    });
  }
  const code = codes.find((each) => isTlsCode(each)) ?? 'unknown';
  const alert = cause instanceof Error && cause.message.includes('alert');
  return new FetchError('FETCH_TLS', `${who}: no trust in ${host} over TLS (${code})`, {
    cause,
    remedies: [
      `the certificate of its authority: /etc/docker/certs.d/${host}/ca.crt`,
      ...(alert ? [`a certificate of ours: client.cert and client.key beside it`] : []),
    ],
  });
}

/** `who`: registry and repository; `host`: whom we were talking to. What is no failure of a connection stays as it is. */
export function connectionFailure(who: string, host: string, error: unknown): unknown {
  const codes = codesOf(error);
  const find = (table: Readonly<Record<string, string>>) =>
    codes.map((code) => table[code]).find((words) => words !== undefined);
  const passing = { retryAfterMs: undefined };
  const [, proxyStatus] =
    error instanceof Error ? (/Proxy response \((\d+)\)/.exec(error.message) ?? []) : [];
  if (proxyStatus !== undefined) {
    return new FetchError(
      'FETCH_UNREACHABLE',
      `${who}: the proxy on the way to ${host} answered ${proxyStatus}`,
      {
        cause: error,
        remedies: ['check HTTPS_PROXY, its user and password, and NO_PROXY'],
        ...(proxyStatus.startsWith('5') ? { passing } : {}),
      },
    );
  }
  if (codes.some(isTlsCode) || isNotTls(error)) return tlsFailure(who, host, codes, error);
  const late = find(TIMEOUTS);
  if (late !== undefined) {
    return new FetchError('FETCH_TIMEOUT', `${who}: ${late} (${host})`, {
      cause: error,
      passing,
      remedies: [`is ${host} reachable from here? a proxy is taken from HTTPS_PROXY`],
    });
  }
  const lost = find(UNREACHABLE);
  if (lost !== undefined) {
    return new FetchError('FETCH_UNREACHABLE', `${who}: ${lost} (${host})`, {
      cause: error,
      // A name that does not exist will not exist in a moment.
      ...(codes.includes('ENOTFOUND') ? {} : { passing }),
      remedies: [`is ${host} reachable from here? a proxy is taken from HTTPS_PROXY`],
    });
  }
  if (codes.some((code) => code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW')) {
    return new FetchError('FETCH_PROTOCOL', `${who}: what ${host} answers is not HTTP`, {
      cause: error,
    });
  }
  return error;
}

/** The errors of a registry (distribution-spec, "Error Codes"), as far as its answer has them: `DENIED: "…"`. */
export function renderRegistryErrors(body: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  const list: unknown =
    typeof value === 'object' && value !== null && 'errors' in value ? value.errors : undefined;
  if (!Array.isArray(list)) return undefined;
  const texts = list.slice(0, 3).flatMap((item: unknown): readonly string[] => {
    if (typeof item !== 'object' || item === null) return [];
    const code = 'code' in item && typeof item.code === 'string' ? item.code : '';
    const message = 'message' in item && typeof item.message === 'string' ? item.message : '';
    const name = /^[A-Z0-9_]{1,64}$/.test(code) ? code : quote(code);
    return [message === '' ? name : `${name}: ${quote(message)}`];
  });
  return texts.length === 0 ? undefined : texts.join(', ');
}

export interface BadAnswer {
  /** Registry and repository. */
  readonly who: string;
  readonly host: string;
  /** What was asked for: `the manifest 3.20`, `blob sha256:…`. */
  readonly what: string;
  readonly status: number;
  /** The beginning of the body. */
  readonly body: string;
  readonly retryAfterMs: number | undefined;
  /** Whether the request had credentials; undefined when nobody asked for any. */
  readonly user?: string | undefined;
}

/** Worth another attempt: the server said so, or it is the server's own trouble. */
export function isPassingStatus(status: number): boolean {
  return (
    status === 408 || status === 429 || (status >= 500 && ![501, 505, 507, 511].includes(status))
  );
}

export function statusFailure(answer: BadAnswer): FetchError {
  const { who, host, what, status } = answer;
  const own = renderRegistryErrors(answer.body);
  const said = own === undefined ? String(status) : `${String(status)} ${own}`;
  const passing = isPassingStatus(status)
    ? { passing: { retryAfterMs: answer.retryAfterMs } }
    : undefined;
  const as = answer.user === undefined ? 'without credentials' : `as ${quote(answer.user)}`;
  const login =
    'where credentials are looked for: docs/registries.md (/etc/jetpack/auth.d, ~/.docker/config.json)';
  if (status === 401) {
    return new FetchError('FETCH_UNAUTHORIZED', `${who}: ${host} refuses ${what} ${as}: ${said}`, {
      remedies: ['check the name: some registries say this of what is not there', login],
    });
  }
  if (status === 403) {
    return new FetchError('FETCH_DENIED', `${who}: ${host} denies ${what} ${as}: ${said}`, {
      remedies: ['ask those who run the registry for access', login],
    });
  }
  if (status === 404) {
    return new FetchError('FETCH_NOT_FOUND', `${who}: ${host} does not have ${what}: ${said}`, {
      remedies: ['check the name, the tag and the registry'],
    });
  }
  if (status === 429) {
    return new FetchError('FETCH_RATE_LIMITED', `${who}: ${host} wants fewer requests: ${said}`, {
      remedies: ['try again later, with credentials if you have some, or configure a mirror'],
      ...passing,
    });
  }
  if (status >= 500 || status === 408) {
    return new FetchError('FETCH_UNREACHABLE', `${who}: ${host} fails at ${what}: ${said}`, {
      remedies: ['try again later'],
      ...passing,
    });
  }
  return new FetchError('FETCH_PROTOCOL', `${who}: ${host} refuses ${what}: ${said}`);
}

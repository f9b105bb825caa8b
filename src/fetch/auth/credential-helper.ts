/** `docker-credential-NAME get`: the server's name on its standard input, JSON on its standard output. */
import { existsSync } from 'node:fs';
import path from 'node:path';

import { FetchError } from '../../errors.ts';
import type { Run } from '../../exec/exec.ts';
import { isRecord } from '../../schema/appc.ts';
import type { Credential } from './credential.ts';
import type { Environment } from '../registry/proxy.ts';

/** Somebody may have to unlock a key. */
const TIMEOUT_MS = 60_000;
/** The user name by which a helper says that the secret is an identity token. */
const TOKEN_USER = '<token>';

/** Where the helpers find their stores; everything else of our environment is not theirs. */
const PASSED =
  /^(?:HOME|USER|LOGNAME|XDG_[A-Z_]+|DBUS_SESSION_BUS_ADDRESS|DISPLAY|WAYLAND_DISPLAY|GNUPGHOME|GPG_TTY|PASSWORD_STORE_[A-Z_]+|AWS_[A-Z0-9_]+|AZURE_[A-Z0-9_]+|GOOGLE_[A-Z0-9_]+|CLOUDSDK_[A-Z0-9_]+|(?:https?|HTTPS?|no|NO)_(?:proxy|PROXY))$/;

export interface HelperPorts {
  readonly run: Run;
  readonly helperFolders: readonly string[];
  readonly environment: Environment;
}

function failure(program: string, why: string, remedies: readonly string[]): FetchError {
  return new FetchError('FETCH_CREDENTIALS', `the credential helper ${program} ${why}`, {
    remedies,
  });
}

/** Undefined when the helper has nothing for the server. `file` is what named it. Throws FETCH_CREDENTIALS. */
export async function askHelper(
  { run, helperFolders, environment }: HelperPorts,
  file: string,
  { helper, server }: { readonly helper: string; readonly server: string },
): Promise<Credential | undefined> {
  const program = `docker-credential-${helper}`;
  if (!/^[A-Za-z0-9._-]+$/.test(helper)) {
    throw failure(JSON.stringify(program), `of ${file} has no name of a program`, [
      `correct ${file}`,
    ]);
  }
  const found = helperFolders
    .map((folder) => path.join(folder, program))
    .find((candidate) => existsSync(candidate));
  if (found === undefined) {
    throw failure(program, `is not there; ${file} names it for ${server}`, [
      `install it into ${helperFolders[0] ?? '/usr/local/bin'}`,
      `or take it out of ${file}`,
    ]);
  }
  const env = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value !== undefined && PASSED.test(name) ? [[name, value] as const] : [],
    ),
  );
  const result = await run([found, 'get'], { input: server, timeoutMs: TIMEOUT_MS, env });
  const byHand = `try it by hand: echo ${server} | ${program} get`;
  if (result.status !== 0) {
    // The helpers of Docker say it so, on their standard output.
    if (/credentials not found/i.test(result.stdout)) return undefined;
    const how =
      result.status === undefined
        ? `was ended (${result.signal ?? 'unknown'})`
        : `failed with status ${String(result.status)}`;
    throw failure(program, `${how} for ${server}`, [byHand]);
  }
  return parseAnswer(program, result.stdout, byHand);
}

/** What it printed is never repeated. */
function parseAnswer(program: string, text: string, byHand: string): Credential {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isRecord(value)) {
    const { Username: user, Secret: secret } = value;
    if (typeof user === 'string' && typeof secret === 'string' && secret !== '') {
      return user === TOKEN_USER
        ? { kind: 'identity-token', token: secret }
        : { kind: 'password', user, password: secret };
    }
  }
  throw failure(program, 'did not answer with Username and Secret', [byHand]);
}

import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { appIsolatorFlags, podIsolatorFlags } from '../cli/isolator-flag-help.ts';
import { runHotCommand } from '../cli/run-main.ts';

/** The flags of pods, for the help; run-grammar.ts reads them. */
export const podFlags = {
  name: string({
    summary: "the pod's name (before the first image); the app's name after its image",
  }),
  net: string({
    helpValue: 'none|host|ns:NAME|ns:/PATH',
    default: 'none',
    summary: 'network: loopback only, that of the host, or a namespace of ip netns',
  }),
  hostname: string({ summary: 'default: jetpack-UUID' }),
  volume: string({
    multiple: true,
    helpValue: 'NAME,kind=host,source=/…|NAME,kind=empty',
    summary: 'a volume of the pod; host: readOnly=, recursive=; empty: mode=, uid=, gid=',
  }),
  'follow-volume-links': boolean({
    summary: "follow symbolic links in the sources of the pod's host volumes",
  }),
  'pod-manifest': string({
    helpValue: 'FILE|-',
    summary: 'the pod as an appc pod manifest, instead of images and their flags',
  }),
  'set-env': string({
    multiple: true,
    helpValue: 'NAME=VALUE',
    summary: 'a variable for every app',
  }),
  'set-env-file': string({
    multiple: true,
    helpValue: 'FILE',
    summary: 'NAME=VALUE lines for every app, below --set-env; # and ; begin comments',
  }),
  'inherit-env': boolean({
    summary: 'pass our own environment to every app, below what its image says',
  }),
  dns: string({
    multiple: true,
    helpValue: 'ADDRESS|host|none',
    summary: "name servers; host: the host's resolv.conf; none: the image's",
  }),
  'dns-search': string({ multiple: true, helpValue: 'DOMAIN', summary: 'search domains' }),
  'dns-opt': string({ multiple: true, helpValue: 'OPTION', summary: 'options of resolv.conf' }),
  'dns-domain': string({ helpValue: 'DOMAIN', summary: 'domain of resolv.conf' }),
  'hosts-entry': string({
    multiple: true,
    helpValue: 'ADDRESS=NAME[,NAME]|host',
    summary: "lines for /etc/hosts; host: the host's file",
  }),
  port: string({
    multiple: true,
    helpValue: 'NAME:[HOSTIP:]HOSTPORT',
    summary: 'where a port of an app is on the host (for sockets passed by a service manager)',
  }),
  annotation: string({
    multiple: true,
    helpValue: 'NAME=VALUE',
    summary: 'annotation of the pod (before the first image) or of an app (after its image)',
  }),
  'user-annotation': string({
    multiple: true,
    helpValue: 'NAME=VALUE',
    summary: 'the same, for your own use',
  }),
  'user-label': string({ multiple: true, helpValue: 'NAME=VALUE', summary: 'likewise' }),
  'save-id': string({ helpValue: 'FILE', summary: 'write the UUID there as soon as it is known' }),
  'insecure-options': string({
    helpValue: 'capabilities,seccomp,paths,all-run,image,devices',
    summary:
      'turn parts of the isolation off; image: fetch it unsigned; devices: with device nodes',
  }),
  'pull-policy': string({
    options: ['never', 'new', 'update'],
    summary:
      'for images named by where they come from, docker://… and the like; new (default): fetch what is not here; update: ask whether it has changed; never: only what is here',
  }),
  mutable: boolean({
    summary:
      'a pod whose apps come and go while it runs; only a stop ends it, and it needs no image',
  }),
  'dry-run': boolean({ summary: 'print the steps, do none' }),
  ...podIsolatorFlags,
};

export const appFlags = {
  exec: string({
    helpGroup: 'APP',
    helpValue: 'PROGRAM',
    summary: "instead of the image's program",
  }),
  user: string({
    helpGroup: 'APP',
    helpValue: 'NAME|UID|/PATH',
    summary: 'user, or the owner of a file of the image; the group stays as it is',
  }),
  group: string({
    helpGroup: 'APP',
    helpValue: 'NAME|GID|/PATH',
    summary: 'group, or the group of a file of the image',
  }),
  'supplementary-gids': string({
    helpGroup: 'APP',
    helpValue: 'GID,GID',
    summary: "supplementary groups instead of the image's",
  }),
  'working-dir': string({
    helpGroup: 'APP',
    helpValue: '/PATH',
    summary: 'must exist in the image',
  }),
  mount: string({
    helpGroup: 'APP',
    multiple: true,
    helpValue: 'volume=NAME,target=/PATH|NAME:/PATH',
    summary: 'mount a volume of the pod',
  }),
  'readonly-rootfs': boolean({
    helpGroup: 'APP',
    summary: 'the root file system is read-only (=false: not)',
  }),
  restart: string({
    helpGroup: 'APP',
    helpValue: 'no|on-failure[:N]|always',
    default: 'no',
    summary: 'start the app again when it has ended; on-failure:N: at most N times in a row',
  }),
  'stop-signal': string({
    helpGroup: 'APP',
    helpValue: 'SIGNAL',
    summary: 'what asks the app to end (default: TERM, or what its image says)',
  }),
  environment: string({
    helpGroup: 'APP',
    multiple: true,
    helpValue: 'NAME=VALUE',
    summary: 'a variable for this app',
  }),
  ...appIsolatorFlags,
};

export default class Run extends BaseCommand {
  static override summary = 'Run a pod of one or more images';
  static override description = `The flags of a pod come before its first image, the flags of an app after its image (before the first image they are for every app).
Words after -- replace the arguments of the image's program (of an image of Docker, all that follows its entry point); --- ends them when another image follows.
Images named by where they come from (docker://alpine:3.20) are fetched when they are not in the store; see fetch.
Without --detach the pod runs in the foreground and its exit status becomes that of the command.
A prepared or exited pod runs (again) when its UUID or name is given instead of an image.
With --pod-manifest the pod is what the manifest says; its images are named by id, by the beginning of one, or by name and labels.`;
  static override usage = [
    'run [POD FLAGS] IMAGE [APP FLAGS] [-- ARGS… [---]] [IMAGE …]',
    'run [POD FLAGS] --pod-manifest=FILE',
    'run [-d] [-t] [-i] [--rm] POD',
  ];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> run --rm busybox -- echo hi',
    '<%= config.bin %> run -it --rm --net=host busybox',
    '<%= config.bin %> run -d --net=ns:blue nginx',
    '<%= config.bin %> run -d --name=web --volume=www,kind=host,source=/srv/www nginx --mount=volume=www,target=/var/www',
    '<%= config.bin %> run --rm --pod-memory=256Mi busybox --memory=64Mi --cpu=500m -- sh',
    '<%= config.bin %> run --pod-manifest=pod.json',
    '<%= config.bin %> run -d server --user=www -- --port 80 --- sidecar --name=logger',
    '<%= config.bin %> run -d --restart=on-failure:5 server',
    '<%= config.bin %> run -d --mutable --name=box',
  ];
  static override flags = {
    ...jsonFlag,
    detach: boolean({ char: 'd', summary: 'start it, print its UUID, and return' }),
    tty: boolean({ char: 't', summary: 'give the app a terminal' }),
    interactive: boolean({ char: 'i', summary: 'pass standard input on' }),
    rm: boolean({ summary: 'remove the pod when it has ended' }),
    ...podFlags,
    ...appFlags,
  };

  override run(): Promise<void> {
    this.parsed = true;
    return runHotCommand('run', this.argv);
  }
}

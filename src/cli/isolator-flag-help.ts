/** The flags that are isolators in other words, for the help; run-grammar.ts reads them, isolator-flags.ts says what they mean. */
import { boolean, string } from '@oclif/core/flags';

export const podIsolatorFlags = {
  'pod-memory': string({
    helpValue: 'AMOUNT',
    summary: 'limit of memory of all apps together, like 512Mi',
  }),
  'pod-cpu': string({
    helpValue: 'AMOUNT',
    summary: 'limit of processors of all apps together, like 1.5 or 500m',
  }),
  'pod-pids': string({
    helpValue: 'N',
    summary: 'limit of processes and threads of all apps together',
  }),
  sysctl: string({
    multiple: true,
    helpValue: 'KEY=VALUE',
    summary: "a kernel parameter of the pod's own namespaces",
  }),
  'pod-isolator': string({
    multiple: true,
    helpValue: 'NAME=JSON',
    summary: 'any isolator of the pod',
  }),
  strict: boolean({ summary: 'refuse isolators that would be ignored' }),
};

export const appIsolatorFlags = {
  memory: string({ helpGroup: 'APP', helpValue: 'AMOUNT', summary: 'limit of memory, like 64Mi' }),
  cpu: string({
    helpGroup: 'APP',
    helpValue: 'AMOUNT',
    summary: 'limit of processors, like 1.5 or 500m',
  }),
  'cpu-shares': string({
    helpGroup: 'APP',
    helpValue: '2…262144',
    summary: 'share of the processors when they are busy; 1024 is normal',
  }),
  pids: string({
    helpGroup: 'APP',
    helpValue: 'N',
    summary: 'limit of processes and threads',
  }),
  'disk-quota': string({
    helpGroup: 'APP',
    helpValue: 'AMOUNT',
    summary: 'limit of the root file system, the data of the image included',
  }),
  'caps-retain': string({
    helpGroup: 'APP',
    helpValue: 'NAME,…',
    summary: 'capabilities to have, and no others',
  }),
  'caps-remove': string({
    helpGroup: 'APP',
    helpValue: 'NAME,…',
    summary: 'capabilities to take from the default set',
  }),
  seccomp: string({
    helpGroup: 'APP',
    helpValue: 'mode=retain|remove[,errno=E],NAME,…',
    summary: 'system calls that are allowed, or forbidden; NAME may be a group like @systemd/mount',
  }),
  'oom-score-adj': string({
    helpGroup: 'APP',
    helpValue: '-1000…1000',
    summary: 'how soon it is killed when memory runs out',
  }),
  'no-new-privileges': boolean({
    helpGroup: 'APP',
    summary: 'setuid programs gain nothing (=false: they do)',
  }),
  isolator: string({
    helpGroup: 'APP',
    multiple: true,
    helpValue: 'NAME=JSON',
    summary: 'any isolator',
  }),
};

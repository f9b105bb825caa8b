/** Entry of `jetpack-mds`, the metadata service. The service is not part of this version; its binary says so. */
import process from 'node:process';
import { writeSync } from 'node:fs';

writeSync(2, 'jetpack-mds: this version of jetpack has no metadata service\n');
process.exitCode = 1;

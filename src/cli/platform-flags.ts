/** For which platform an image is fetched. */
import { string } from '@oclif/core/flags';

export const platformFlags = {
  os: string({ summary: "fetch it for this system instead of the host's: linux, freebsd" }),
  arch: string({
    helpValue: 'ARCH[/VARIANT]',
    summary:
      "fetch it for this processor instead of the host's: amd64, arm64 (or aarch64), arm/v7 (or armv7l)",
  }),
};

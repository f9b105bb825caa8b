import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { printAnswer, printJson } from '../../cli/output.ts';
import { podWords } from '../../cli/pod-words.ts';
import { forEach } from '../../cli/several.ts';
import { withReserve } from '../../host/reserve.ts';
import { destroyImage, findDamaged } from '../../image/destroy.ts';
import { getImage } from '../../image/get.ts';
import { podsUsing } from '../../pod/usage.ts';

export default class ImageRm extends BaseCommand {
  static override summary = 'Remove images';
  static override description = 'Refuses while pods or other images need it, and says which.';
  static override usage = ['image rm IMAGE…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> image rm busybox',
    '<%= config.bin %> image rm sha512-1a2b3c 4d5e6f',
  ];
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(ImageRm);
    const context = this.createContext(flags);
    context.ensureReady();
    const { layout } = context;
    const usedBy = (id: string) =>
      Promise.resolve(podsUsing(layout, id).map((uuid) => `pod ${uuid}`));
    const removed: string[] = [];
    await forEach(podWords(argv, 'image'), flags, async (reference) => {
      const image = findDamaged(context, reference) ?? getImage(context, reference);
      const ports = { zfs: context.zfs, layout, usedBy };
      await withReserve(ports, () => destroyImage(ports, image));
      removed.push(image.id);
    });
    if (flags.json) printJson({ removed });
    else printAnswer(removed.join('\n'));
  }
}

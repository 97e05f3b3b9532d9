import {BaseCommand} from '../src/cli/base-command.ts'
import {explainEstimates, measureImages} from '../src/cli/measure.ts'
import type {ErrorDocument} from '../src/cli/report.ts'
import {
  archivesArgument,
  exactSizesFlag,
  fullFlag,
  idsOnlyFlag,
  imageIDsFlag,
  platformFlag,
} from '../src/cli/shared-options.ts'
import {resolveV1} from '../src/ids.ts'
import type {Image} from '../src/image/model.ts'
import {type Source, selectImages} from '../src/open.ts'
import {formatList, formatListIDs, type ListedImage, listedImage} from '../src/view/list.ts'

export default class List extends BaseCommand<typeof List> {
  static override readonly summary = 'List the images of archives.'
  static override readonly description =
    'Of several archives those that can be read are listed, and the others are errors; with --json, in "errors".'
  static override readonly args = {archives: archivesArgument}
  static override readonly flags = {
    'exact-sizes': exactSizesFlag,
    'image-ids': imageIDsFlag,
    'no-trunc': fullFlag,
    quiet: idsOnlyFlag,
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar',
    '<%= config.bin %> <%= command.id %> old.tar --image-ids --no-trunc',
    '$ docker save app | <%= config.bin %> <%= command.id %> - --json | jq -r ".images[].names[]"',
  ]

  override async run(): Promise<{images: readonly ListedImage[]; errors: readonly ErrorDocument[]}> {
    const {archives} = this.args
    const images: ListedImage[] = []
    const errors: ErrorDocument[] = []
    for (const text of archives) {
      const listed = await this.tryArchive(archives, async () => {
        await using source = await this.open(text)
        return await this.listImages(source)
      })
      if ('error' in listed) errors.push(listed.error)
      else images.push(...listed.result)
    }
    const full = this.flags['no-trunc']
    this.logLines(this.flags.quiet ? formatListIDs(images, {full}) : formatList(images, {full}))
    return {images, errors}
  }

  private async listImages(source: Source): Promise<ListedImage[]> {
    const images = selectImages(source, this.platform)
    this.warnOfPartial(images)
    const options = {exact: this.flags['exact-sizes'], limits: this.limits}
    const sizes = await measureImages(images, options)
    this.noteAtEnd(explainEstimates(sizes, options))
    const imageIDs = await this.resolveImageIDs(source, images)
    return images.map((image, n) => ({...listedImage(source, image, sizes[n]!), ...imageIDs.get(image.v1ID ?? '')}))
  }

  /** By v1 id; nothing for other formats, whose documents have the image IDs. */
  private async resolveImageIDs(
    {set}: Source,
    images: readonly Image[],
  ): Promise<ReadonlyMap<string, Pick<ListedImage, 'imageID'>>> {
    if (!this.flags['image-ids'] || set.format !== 'docker-v1') return new Map()
    const wanted = images.map(({v1ID}) => v1ID ?? '')
    const resolved = await resolveV1(set, {limits: this.limits, wanted})
    return new Map([...resolved].map(([v1ID, {imageID}]) => [v1ID, {imageID}]))
  }
}

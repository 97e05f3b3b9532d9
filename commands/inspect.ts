import process from 'node:process'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {detectCompressions, measure} from '../src/cli/measure.ts'
import {fullFlag, imageArgument, platformFlag} from '../src/cli/shared-options.ts'
import {ImgtoolError} from '../src/errors.ts'
import {resolveV1} from '../src/ids.ts'
import {requireWhole} from '../src/image/missing.ts'
import type {Image} from '../src/image/model.ts'
import {type Source, selectImage} from '../src/open.ts'
import {formatImage, type InspectedImage, inspectedImage} from '../src/view/inspect.ts'

export default class Inspect extends BaseCommand<typeof Inspect> {
  static override readonly summary = 'Show everything about one image.'
  static override readonly description =
    'Reads what it takes: the layers of an image saved before 1.10 for the image ID that docker gives it, compressed layers for their sizes.'
  static override readonly args = {image: imageArgument}
  static override readonly flags = {
    config: Flags.boolean({
      description:
        'write the exact bytes of the config; for images saved before 1.10, of the config docker makes of them',
      exclusive: ['raw'],
    }),
    'no-trunc': fullFlag,
    raw: Flags.boolean({description: 'write the exact bytes of the manifest'}),
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar:app:latest',
    '<%= config.bin %> <%= command.id %> oci:layout:v1 --raw | sha256sum',
    '$ docker save app | <%= config.bin %> <%= command.id %> - --json | jq .config.config.Env',
  ]

  override async run(): Promise<InspectedImage | undefined> {
    await using source = await this.open(this.args.image)
    const image = selectImage(source, this.platform)
    if (this.flags.raw) return writeBytes(manifestOf(image))
    if (this.flags.config) return writeBytes((await this.withIDs(source, image)).config)
    const known = await this.withIDs(source, image)
    const sizes = await measure(known.layers, {exact: true, limits: this.limits})
    const inspected = inspectedImage(source, known, {sizes, compressions: await detectCompressions(known.layers)})
    this.logLines(formatImage(inspected, {full: this.flags['no-trunc']}))
    return inspected
  }

  /** An image as docker makes it of one saved before 1.10; other images as they are. */
  private async withIDs({set}: Source, image: Image): Promise<Image> {
    if (image.v1ID === undefined || set.format !== 'docker-v1') return image
    requireWhole(image)
    const resolved = await resolveV1(set, {limits: this.limits, wanted: [image.v1ID]})
    const {imageID, config, diffIDs} = resolved.get(image.v1ID)!
    return {...image, imageID, config, layers: image.layers.map((layer, n) => ({...layer, diffID: diffIDs[n]!}))}
  }
}

function manifestOf(image: Image): Buffer {
  if (image.manifest !== undefined) return image.manifest
  throw new ImgtoolError('BLOB_MISSING', 'Cannot print the manifest: images saved by docker before 1.10 have none', {
    hint: 'Use --config to print the config that docker makes of the image',
  })
}

/** Bytes as they are, and nothing that would be printed after them. */
function writeBytes(bytes: Buffer): undefined {
  process.stdout.write(bytes)
}

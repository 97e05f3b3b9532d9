import {BaseCommand} from '../src/cli/base-command.ts'
import {measure} from '../src/cli/measure.ts'
import {fullFlag, idsOnlyFlag, imageArgument, platformFlag} from '../src/cli/shared-options.ts'
import {columns} from '../src/cli/terminal.ts'
import {selectImage} from '../src/open.ts'
import {formatHistory, formatHistoryIDs, type HistoryStep, historyOf} from '../src/view/history.ts'

export default class History extends BaseCommand<typeof History> {
  static override readonly summary = 'Show the steps that made an image, newest first.'
  static override readonly description =
    'Compressed layers are read for their sizes. The JSON document has the steps oldest first, as the config of an image has.'
  static override readonly args = {image: imageArgument}
  static override readonly flags = {
    'no-trunc': fullFlag,
    quiet: idsOnlyFlag,
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar',
    '<%= config.bin %> <%= command.id %> oci:layout:v1 --no-trunc',
    '$ docker save app | <%= config.bin %> <%= command.id %> -:app:latest',
  ]

  override async run(): Promise<{history: readonly HistoryStep[]}> {
    await using source = await this.open(this.args.image)
    const image = selectImage(source, this.platform)
    this.warnOfPartial([image])
    const sizes = await measure(image.layers, {exact: true, limits: this.limits})
    const history = historyOf(image, sizes)
    const full = this.flags['no-trunc']
    this.logLines(
      this.flags.quiet ? formatHistoryIDs(history, {full}) : formatHistory(history, {full, columns: columns()}),
    )
    return {history}
  }
}

import {once} from 'node:events'
import process from 'node:process'
import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {imageArgument, platformFlag} from '../src/cli/shared-options.ts'
import {ImgtoolError, isImgtoolError} from '../src/errors.ts'
import type {Image} from '../src/image/model.ts'
import {type ListedFile, listFiles, listLayer} from '../src/list-files.ts'
import {selectImage} from '../src/open.ts'
import {type ByteString, readings} from '../src/text.ts'
import {formatDocuments, formatListing, formatPaths} from '../src/view/listing.ts'

export default class Ls extends BaseCommand<typeof Ls> {
  static override readonly summary = 'List the files of an image, without unpacking it.'
  static override readonly description =
    `Lists the root file system that all layers make, or with --layer what one layer holds, whiteouts included. A path is also understood as it is printed, with \\xe9 for a byte that is not UTF-8.
With --json each file is a document on a line of its own.`
  static override readonly args = {
    image: imageArgument,
    path: Args.string({
      default: '/',
      description: 'where to begin; with a slash behind it, in the directory that a symlink leads to',
      ignoreStdin: true,
    }),
  }
  static override readonly flags = {
    depth: Flags.integer({
      char: 'L',
      description: 'levels below the path; all of them by default',
      helpValue: 'N',
      min: 0,
    }),
    layer: Flags.integer({
      description: "one layer's own entries, in their order; 0 is the lowest, -1 the topmost",
      helpValue: 'N',
    }),
    // What fingers add to ls; both are so here.
    long: Flags.boolean({char: 'l', hidden: true}),
    recursive: Flags.boolean({char: 'R', hidden: true}),
    quiet: Flags.boolean({char: 'q', description: 'print paths only, and no warnings', env: 'IMGTOOL_QUIET'}),
    platform: platformFlag,
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar /etc --depth 1',
    '<%= config.bin %> <%= command.id %> app.tar --layer -1',
    '$ docker save app | <%= config.bin %> <%= command.id %> - --json | jq -r "select(.size > 1e6).path"',
  ]

  override async run(): Promise<void> {
    const files = await this.readFiles()
    if (this.jsonEnabled()) {
      await writeLines(formatDocuments(files))
      this.printWarnings()
    } else await writeLines(this.flags.quiet ? formatPaths(files) : formatListing(files))
  }

  private async readFiles(): Promise<Iterable<ListedFile>> {
    await using source = await this.open(this.args.image)
    const image = selectImage(source, this.platform)
    let failure: unknown
    for (const path of readings(this.args.path)) {
      try {
        // Awaited here: the archive closes when this returns.
        return await this.list(image, path)
      } catch (error) {
        if (!isImgtoolError(error) || error.code !== 'PATH_NOT_FOUND') throw error
        failure ??= this.args.path.includes(lostByte) ? withHint(error) : error
      }
    }
    throw failure
  }

  private list(image: Image, path: ByteString): Promise<Iterable<ListedFile>> {
    const {depth, layer} = this.flags
    const options = {path, limits: this.limits, ...(depth !== undefined && {depth})}
    return layer === undefined ? listFiles(image, options) : listLayer(image, layer, options)
  }
}

/** What Node makes of a byte of the command line that is not UTF-8. */
const lostByte = '\ufffd'

function withHint({code, message, details}: ImgtoolError): ImgtoolError {
  const hint = "Type bytes that are not UTF-8 as they are printed, such as 'caf\\xe9'"
  return new ImgtoolError(code, message, {hint, ...details})
}

/** Fewer system calls than lines. */
const linesAtOnce = 1000

async function writeLines(lines: Iterable<string>): Promise<void> {
  let some: string[] = []
  for (const line of lines) {
    if (some.push(line) < linesAtOnce) continue
    await write(some)
    some = []
  }
  await write(some)
}

/** Waits for a slow reader, and lets one that has gone end the run. */
async function write(lines: readonly string[]): Promise<void> {
  if (lines.length > 0 && !process.stdout.write(`${lines.join('\n')}\n`)) await once(process.stdout, 'drain')
}

/* libjpeg-turbo, a strip at a time: the one thing that its TurboJPEG API does not offer. Errors of libjpeg leave by
 * longjmp, which must not cross Rust: hence C. jpeg.rs, the only caller, says what the functions mean. */

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* Rows of one block, and of the tallest strip: two blocks of brightness. */
enum { BLOCK = DCTSIZE, MOST_BLOCKS = 2 };

struct roomd_jpeg {
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    /* Of the picture being decoded: the last warning that is more than stray bytes, else the last one. */
    int warning;
    char words[JMSG_LENGTH_MAX];
};

struct roomd_jpeg_plane {
    uint8_t *rows;
    size_t stride;
};

static void leave(j_common_ptr common) {
    struct roomd_jpeg *jpeg = common->client_data;
    common->err->format_message(common, jpeg->words);
    longjmp(jpeg->failed, 1);
}

static void warn(j_common_ptr common, int level) {
    struct roomd_jpeg *jpeg = common->client_data;
    int code = common->err->msg_code;
    if (level >= 0 || (jpeg->warning != 0 && code == JWRN_EXTRANEOUS_DATA && jpeg->warning != code)) {
        return;
    }
    jpeg->warning = code;
    common->err->format_message(common, jpeg->words);
}

static void say_nothing(j_common_ptr common) { (void)common; }

static int refuse(struct roomd_jpeg *jpeg, const char *why) {
    snprintf(jpeg->words, sizeof jpeg->words, "%s", why);
    return -1;
}

const char *roomd_jpeg_words(const struct roomd_jpeg *jpeg) { return jpeg->words; }

void roomd_jpeg_destroy(struct roomd_jpeg *jpeg) {
    jpeg_destroy_decompress(&jpeg->decoder);
    free(jpeg);
}

static int prepare(struct roomd_jpeg *jpeg) {
    jpeg->decoder.err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = leave;
    jpeg->errors.emit_message = warn;
    jpeg->errors.output_message = say_nothing;
    jpeg->decoder.client_data = jpeg;
    if (setjmp(jpeg->failed)) {
        return -1;
    }
    jpeg_create_decompress(&jpeg->decoder);
    return 0;
}

struct roomd_jpeg *roomd_jpeg_create(void) {
    struct roomd_jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (jpeg != NULL && prepare(jpeg) != 0) {
        roomd_jpeg_destroy(jpeg);
        return NULL;
    }
    return jpeg;
}

int roomd_jpeg_read(struct roomd_jpeg *jpeg, const uint8_t *data, size_t length, uint32_t size[2], uint8_t sampling[3]) {
    struct jpeg_decompress_struct *decoder = &jpeg->decoder;
    jpeg->warning = 0;
    if (setjmp(jpeg->failed)) {
        return -1;
    }
    jpeg_abort_decompress(decoder);
    jpeg_mem_src(decoder, data, length);
    jpeg_read_header(decoder, TRUE);
    int colour = decoder->jpeg_color_space == JCS_YCbCr && decoder->num_components == 3;
    int grey = decoder->jpeg_color_space == JCS_GRAYSCALE && decoder->num_components == 1;
    if (!colour && !grey) {
        return refuse(jpeg, "not of brightness and two colours, nor of brightness alone");
    }
    if (jpeg_has_multiple_scans(decoder)) {
        return refuse(jpeg, "in several scans, as no camera makes them");
    }
    int across = decoder->comp_info[0].h_samp_factor, down = decoder->comp_info[0].v_samp_factor;
    for (int n = 1; n < decoder->num_components; n++) {
        if (decoder->comp_info[n].h_samp_factor != 1 || decoder->comp_info[n].v_samp_factor != 1) {
            return refuse(jpeg, "an unusual subsampling of colour");
        }
    }
    if ((across != 1 && across != 2 && across != 4) || (down != 1 && down != MOST_BLOCKS)) {
        return refuse(jpeg, "an unusual subsampling of colour");
    }
    size[0] = decoder->image_width;
    size[1] = decoder->image_height;
    sampling[0] = (uint8_t)across;
    sampling[1] = (uint8_t)down;
    sampling[2] = (uint8_t)colour;
    return 0;
}

int roomd_jpeg_start(struct roomd_jpeg *jpeg) {
    struct jpeg_decompress_struct *decoder = &jpeg->decoder;
    if (setjmp(jpeg->failed)) {
        return -1;
    }
    decoder->out_color_space = decoder->jpeg_color_space;
    decoder->raw_data_out = TRUE;
    decoder->dct_method = JDCT_IFAST;
    jpeg_start_decompress(decoder);
    return 0;
}

int roomd_jpeg_strip(struct roomd_jpeg *jpeg, const struct roomd_jpeg_plane planes[3]) {
    struct jpeg_decompress_struct *decoder = &jpeg->decoder;
    JSAMPROW rows[3][MOST_BLOCKS * BLOCK];
    JSAMPARRAY arrays[3] = {rows[0], rows[1], rows[2]};
    for (int plane = 0; plane < decoder->num_components; plane++) {
        for (int row = 0; row < MOST_BLOCKS * BLOCK; row++) {
            int last = decoder->comp_info[plane].v_samp_factor * BLOCK - 1;
            rows[plane][row] = planes[plane].rows + planes[plane].stride * (size_t)(row < last ? row : last);
        }
    }
    if (setjmp(jpeg->failed)) {
        return -1;
    }
    int wanted = decoder->max_v_samp_factor * BLOCK;
    return jpeg_read_raw_data(decoder, arrays, (JDIMENSION)wanted) == (JDIMENSION)wanted ? 0 : refuse(jpeg, "no strip");
}

int roomd_jpeg_finish(struct roomd_jpeg *jpeg) {
    if (setjmp(jpeg->failed)) {
        return -1;
    }
    jpeg_finish_decompress(&jpeg->decoder);
    return jpeg->warning == 0 ? 0 : 1;
}

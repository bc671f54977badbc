#include "annotate/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

static mm_status hash_of(const char *text, size_t size, char base64[48], mm_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(text, size, digest, &length, EVP_sha256(), NULL) != 1 || length != 32)
        return mm_fail(err, MM_ERR_INTERNAL, "SHA-256 of the page failed");
    (void)EVP_EncodeBlock((unsigned char *)base64, digest, 32);
    return MM_OK;
}

/* `text` as an element of the page, and its hash to the policy. */
static mm_status put_element(FILE *out, FILE *policy, const char *tag, const char *text, mm_error *err)
{
    char base64[48];
    const mm_status status = hash_of(text, strlen(text), base64, err);
    (void)fprintf(policy, " 'sha256-%s'", base64); /* failures show when it is closed */
    (void)fprintf(out, "<%s>%s</%s>\n", tag, text, tag);
    return status;
}

/* The lines of index.html, with ours in place of two comments. */
static mm_status put_together(FILE *out, FILE *policy, mm_error *err)
{
    static const char style_mark[] = "<!-- style -->\n", scripts_mark[] = "<!-- scripts -->\n";
    const char *const scripts[] = {mm_web_masks, mm_web_talk, mm_web_view, mm_web_draw, mm_web_work,
                                   mm_web_hands};
    const char *style_at = strstr(mm_web_index, style_mark);
    const char *scripts_at = style_at ? strstr(style_at, scripts_mark) : NULL;
    if (!scripts_at)
        return mm_fail(err, MM_ERR_INTERNAL, "the page has no place for its styles and scripts");
    (void)fwrite(mm_web_index, 1, (size_t)(style_at - mm_web_index), out);
    (void)fputs("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
                "img-src data:; style-src", policy);
    mm_status status = put_element(out, policy, "style", mm_web_style, err);
    style_at += strlen(style_mark);
    (void)fwrite(style_at, 1, (size_t)(scripts_at - style_at), out);
    (void)fputs("; script-src", policy);
    for (size_t i = 0; status == MM_OK && i < sizeof scripts / sizeof scripts[0]; i++)
        status = put_element(out, policy, "script", scripts[i], err);
    (void)fputs(scripts_at + strlen(scripts_mark), out);
    return status;
}

mm_status mm_page_make(mm_page *page, mm_error *err)
{
    *page = (mm_page){0};
    FILE *out = open_memstream(&page->html, &page->size);
    FILE *policy = fmemopen(page->policy, sizeof page->policy, "w");
    mm_status status = out && policy ? put_together(out, policy, err) : mm_fail_memory(err, "the page");
    if (out && fclose(out) != 0 && status == MM_OK)
        status = mm_fail_memory(err, "the page");
    if (policy && fclose(policy) != 0 && status == MM_OK)
        status = mm_fail(err, MM_ERR_INTERNAL, "the page's policy is too long");
    if (status != MM_OK)
        mm_page_free(page);
    return status;
}

void mm_page_free(mm_page *page)
{
    free(page->html);
    *page = (mm_page){0};
}

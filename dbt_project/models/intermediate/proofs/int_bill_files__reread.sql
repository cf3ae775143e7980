with

lines as (

    select * from {{ source('raw', 'bill_lines') }}

),

-- Lines name their delivery and file, not their root: exports of one name in two roots
-- are held against their lines together.
files as (

    select
        billing_month,
        bill_export,
        delivery_id,
        source_file,
        sum(row_count) as row_count,
        sum(unblended_usd) as unblended_usd,
        sum(money_usd) as money_usd
    from {{ ref('stg_cur__bill_files') }}
    group by billing_month, bill_export, delivery_id, source_file

),

reread as (

    select
        billing_month,
        bill_export,
        delivery_id,
        source_file,
        count(*) as row_count,
        sum(line_item_unblended_cost) as unblended_usd,
        sum(
            {% for column in bill_money_columns() -%}
            coalesce({{ column }}, 0){{ ' +' if not loop.last }}
            {% endfor %}
        ) as money_usd
    from lines
    group by billing_month, bill_export, delivery_id, source_file

),

final as (

    select
        coalesce(files.billing_month, reread.billing_month) as billing_month,
        coalesce(files.bill_export, reread.bill_export) as bill_export,
        coalesce(files.delivery_id, reread.delivery_id) as delivery_id,
        coalesce(files.source_file, reread.source_file) as source_file,
        coalesce(files.row_count, 0)::bigint as delivered_rows,
        coalesce(reread.row_count, 0) as read_rows,
        coalesce(files.unblended_usd, 0)::decimal(38, 10) as delivered_usd,
        coalesce(reread.unblended_usd, 0)::decimal(38, 10) as read_usd,
        coalesce(files.row_count, 0) = coalesce(reread.row_count, 0)
        and coalesce(files.unblended_usd, 0) = coalesce(reread.unblended_usd, 0)
        and coalesce(files.money_usd, 0) = coalesce(reread.money_usd, 0) as is_whole
    from files
    full outer join reread
        on
            files.billing_month = reread.billing_month
            and files.bill_export = reread.bill_export
            and files.delivery_id = reread.delivery_id
            and files.source_file = reread.source_file

)

select * from final

with

source as (

    select * from {{ source('raw', 'bill_files') }}

),

renamed as (

    select
        billing_month,
        root,
        bill_export,
        layout,
        delivery_id,
        source_file,
        row_count,
        unblended_usd,
        money_usd,
        rounded_values,
        rounding_moved_usd,
        payer_account_ids,
        absent_columns
    from source

)

select * from renamed

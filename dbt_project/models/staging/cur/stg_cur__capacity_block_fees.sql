with

source as (

    select * from {{ source('raw', 'capacity_block_fees') }}

),

renamed as (

    select
        billing_month,
        capacity_reservation_id,
        payer_account_id,
        usage_account_id,
        region_code,
        instance_type,
        fee_month,
        line_count,
        unblended_usd,
        net_unblended_usd,
        public_on_demand_usd
    from source

)

select * from renamed

with

{{ billed_payers() }},

unsized as (

    select
        billing_month,
        payer_account_id,
        count(*) as block_count,
        sum(abs(amortized_usd)) as amortized_usd,
        min(capacity_reservation_id) as example
    from {{ ref('int_capacity_block_fees__spread') }}
    where source = 'bill'
    group by billing_month, payer_account_id

),

final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'amortized' as cost_basis,
        {{ expects_none('unsized.block_count', 'unsized.amortized_usd') }}
        coalesce(unsized.block_count, 0)
        || ' Capacity Blocks whose size neither EC2 nor a file says; their fees are carried'
        || ' by the hours that were seen'
        || coalesce(', like ' || unsized.example, '') as evidence
    from payers
    left join unsized
        on
            payers.billing_month = unsized.billing_month
            and payers.payer_account_id = unsized.payer_account_id

)

select * from final
